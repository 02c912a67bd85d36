// Sends requests over HTTP/1.1 to a port of this machine and tells what came of each.
//
//   replay PORT CONNECTIONS EXPECTED [RATE [BODIES]] < requests > outcomes
//
// Standard input holds requests, each as `<id> <length>\n<bytes>`: a file, which is read whole first, or a pipe, which
// is read as the requests are sent. They go out in order, over whichever connection is free, as fast as answers come
// or RATE, unless it is 0, of them a second. For each a line is written: `<id> <start> <duration> <status> <word>`, with times in
// microseconds of the monotonic clock. The status is 0 when the connection ended without an answer or none came within
// 30 s. The word is `ok` when the answer's body holds EXPECTED, else the body's `"reason"`, else `-`.
// The answers' bodies are appended to BODIES, as `<id> <body>` in lines.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "message.h"

enum { patience = 30 * 1000 * 1000, most_waiting = 1 << 20 };

struct connection {
  int socket;  // -1 when it is closed
  bool is_busy;
  char id[64];
  long start;
  struct buffer out, in;
};

static struct buffer input;
static size_t taken;
static bool input_ended;
static const char *expected;
static FILE *bodies;
static int poller, port;

static long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000L + time.tv_nsec / 1000;
}

static void read_input(void) {
  while (input.length - taken < most_waiting) {
    if (taken > most_waiting / 2) buffer_drop(&input, taken), taken = 0;
    buffer_reserve(&input, 65536);
    ssize_t count = read(0, input.data + input.length, 65536);
    if (count > 0) input.length += (size_t)count;
    if (count == 0) input_ended = true;
    if (count <= 0) return;
  }
}

static void read_file(off_t size) {
  buffer_reserve(&input, (size_t)size + 1);
  ssize_t count;
  while ((count = read(0, input.data + input.length, input.capacity - input.length)) > 0) input.length += (size_t)count;
  input_ended = true;
}

/// The next request, if it is there whole.
static bool next(char *id, const char **bytes, size_t *length) {
  const char *line = input.data + taken;
  const char *end = input.length > taken ? memchr(line, '\n', input.length - taken) : NULL;
  if (!end) return false;
  // Not by sscanf, which looks for the end of all the input.
  const char *space = memchr(line, ' ', (size_t)(end - line));
  if (!space || space - line > 63 || (*length = strtoul(space + 1, NULL, 10)) == 0) {
    fprintf(stderr, "replay: a request must begin with its id and length\n");
    exit(65);
  }
  memcpy(id, line, (size_t)(space - line));
  id[space - line] = 0;
  *bytes = end + 1;
  size_t after = (size_t)(end + 1 - input.data) + *length;
  if (after > input.length) return false;
  taken = after;
  return true;
}

static void finish(struct connection *connection, int status, const char *word, size_t length) {
  printf("%s %ld %ld %d %.*s\n", connection->id, connection->start, now() - connection->start, status, (int)length, word);
  connection->is_busy = false;
}

static void hang_up(struct connection *connection) {
  if (connection->socket >= 0) close(connection->socket);
  connection->socket = -1;
  connection->in.length = connection->out.length = 0;
  if (connection->is_busy) finish(connection, 0, "-", 1);
}

static bool open_connection(struct connection *connection, unsigned index) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int one = 1;
  connection->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(connection->socket, (struct sockaddr *)&address, sizeof address)) return false;
  setsockopt(connection->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  fcntl(connection->socket, F_SETFL, O_NONBLOCK);
  struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};
  return epoll_ctl(poller, EPOLL_CTL_ADD, connection->socket, &event) == 0;
}

static void write_out(struct connection *connection, unsigned index) {
  ssize_t count = send(connection->socket, connection->out.data, connection->out.length, MSG_NOSIGNAL);
  if (count < 0 && errno != EAGAIN) return hang_up(connection);
  if (count > 0) buffer_drop(&connection->out, (size_t)count);
  struct epoll_event event = {.events = connection->out.length ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.u32 = index};
  if (connection->out.length || count < 0) epoll_ctl(poller, EPOLL_CTL_MOD, connection->socket, &event);
}

static void read_in(struct connection *connection) {
  for (;;) {
    buffer_reserve(&connection->in, 16384);
    ssize_t count = recv(connection->socket, connection->in.data + connection->in.length, 16384, 0);
    if (count > 0) connection->in.length += (size_t)count;
    if (count == 16384) continue;
    if (count < 0 && errno == EAGAIN) return;
    struct message message;
    int parsed = message_parse(&connection->in, true, &message);
    if (parsed == 1 && connection->is_busy) {
      const char *body = connection->in.data + message.body;
      size_t length = message.length - message.body;
      if (bodies) fprintf(bodies, "%s %.*s\n", connection->id, (int)length, body);
      const char *reason = memmem(body, length, "\"reason\":\"", 10);
      const char *end = reason ? memchr(reason + 10, '"', (size_t)(body + length - reason - 10)) : NULL;
      if (memmem(body, length, expected, strlen(expected))) {
        finish(connection, message.status, "ok", 2);
      } else if (end) {
        finish(connection, message.status, reason + 10, (size_t)(end - reason - 10));
      } else {
        finish(connection, message.status, "-", 1);
      }
      buffer_drop(&connection->in, message.length);
      if (message.closes) hang_up(connection);
      return;
    }
    if (count <= 0 || parsed < 0 || !connection->is_busy) hang_up(connection);
    return;
  }
}

int main(int count, char **arguments) {
  if (count < 4) {
    fprintf(stderr, "usage: replay PORT CONNECTIONS EXPECTED [RATE [BODIES]]\n");
    return 64;
  }
  port = atoi(arguments[1]);
  unsigned connection_count = (unsigned)atoi(arguments[2]);
  expected = arguments[3];
  double rate = count > 4 ? atof(arguments[4]) : 0;
  if (count > 5 && !(bodies = fopen(arguments[5], "a"))) {
    perror(arguments[5]);
    return 73;
  }
  static char output[1 << 20];
  setvbuf(stdout, output, _IOFBF, sizeof output);
  poller = epoll_create1(EPOLL_CLOEXEC);
  struct stat kind;
  fstat(0, &kind);
  bool streams = !S_ISREG(kind.st_mode);
  if (streams) {
    fcntl(0, F_SETFL, O_NONBLOCK);
  } else {
    read_file(kind.st_size);
  }
  struct connection *connections = calloc(connection_count, sizeof *connections);
  for (unsigned i = 0; i < connection_count; i++) connections[i].socket = -1;

  unsigned busy = 0, cursor = 0;
  long begin = now(), swept = begin, flushed = begin;
  double sent = 0;
  for (;;) {
    if (streams && !input_ended) read_input();
    long time = now();
    // Requests that could not be sent in time are not made up for by a burst.
    double due = rate > 0 ? (double)(time - begin) / 1e6 * rate : 1e18;
    if (rate > 0 && due - sent > rate / 10) sent = due - rate / 10;
    bool starved = false;
    for (unsigned tried = 0; tried < connection_count && sent < due; tried++) {
      unsigned index = cursor++ % connection_count;
      struct connection *connection = &connections[index];
      if (connection->is_busy) continue;
      const char *bytes;
      size_t length;
      if (!next(connection->id, &bytes, &length)) {
        starved = true;
        break;
      }
      sent += 1;
      connection->start = now();
      connection->is_busy = true;
      if (connection->socket < 0 && !open_connection(connection, index)) {
        hang_up(connection);
        continue;
      }
      buffer_append(&connection->out, bytes, length);
      write_out(connection, index);
    }
    busy = 0;
    for (unsigned i = 0; i < connection_count; i++) busy += connections[i].is_busy;
    if (starved && input_ended && busy == 0) break;
    struct epoll_event events[256];
    int wait = rate > 0 || (streams && starved) ? 1 : 100;
    int ready = epoll_wait(poller, events, 256, wait);
    for (int i = 0; i < ready; i++) {
      unsigned index = events[i].data.u32;
      struct connection *connection = &connections[index];
      if (connection->socket < 0) continue;
      if (events[i].events & EPOLLOUT) {
        if (connection->out.length) write_out(connection, index);
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};
        if (connection->socket >= 0 && !connection->out.length)
          epoll_ctl(poller, EPOLL_CTL_MOD, connection->socket, &event);
      }
      if (connection->socket >= 0 && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) read_in(connection);
    }
    time = now();
    if (time - swept > 1000000) {
      swept = time;
      for (unsigned i = 0; i < connection_count; i++)
        if (connections[i].is_busy && time - connections[i].start > patience) hang_up(&connections[i]);
    }
    if (streams && time - flushed > 50000) fflush(stdout), flushed = time;
  }
  fflush(stdout);
  if (bodies) fclose(bodies);
  return 0;
}
