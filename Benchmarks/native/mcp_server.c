// A server that answers every JSON-RPC request at once with the same result, good for every step of MCP and for A2A,
// and remembers what reached it.
//
//   mcp_server PORT [LOG]
//
// The server at /mcp has the tool `ping`, the one at /mcp/x the tool `ping_x`. Of each request a line `<method> <id>` is in LOG once no other has come for 20 ms.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "message.h"

enum { most_connections = 4096 };

static struct buffer in[most_connections], out[most_connections];

struct text {
  const char *bytes;
  int length;
};

/// The values of `id` and `method` of a JSON object as they are written.
static void read_request(const char *body, size_t length, struct text *id, struct text *method) {
  int depth = 0;
  struct text *wanted = NULL;
  for (size_t at = 0; at < length; at++) {
    char byte = body[at];
    if (byte == '"') {
      size_t begin = at++;
      while (at < length && body[at] != '"') at += body[at] == '\\' ? 2 : 1;
      size_t after = at + 1;
      while (after < length && (body[after] == ' ' || body[after] == '\n')) after++;
      if (wanted) {
        *wanted = (struct text){body + begin, (int)(at - begin + 1)};
        wanted = NULL;
      } else if (depth == 1 && after < length && body[after] == ':') {
        if (at - begin == 3 && !memcmp(body + begin, "\"id\"", 4)) wanted = id;
        if (at - begin == 7 && !memcmp(body + begin, "\"method\"", 8)) wanted = method;
        at = after;
      }
    } else if (byte == '{' || byte == '[') {
      depth++;
    } else if (byte == '}' || byte == ']') {
      depth--;
    } else if (wanted && ((byte >= '0' && byte <= '9') || byte == '-')) {
      size_t begin = at;
      while (at + 1 < length && strchr("0123456789.eE+-", body[at + 1])) at++;
      *wanted = (struct text){body + begin, (int)(at - begin + 1)};
      wanted = NULL;
    }
  }
}

static void append_answer(struct buffer *to, const char *status, const char *body) {
  char text[2048];
  int length = snprintf(
      text, sizeof text, "HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n%s", status,
      strlen(body), body);
  buffer_append(to, text, (size_t)length);
}

static void answer(const struct buffer *request, const struct message *message, struct buffer *to, FILE *log) {
  if (!memcmp(request->data, "GET ", 4)) {
    // MCP's stream of a server's own messages is optional; other paths are asked for whether we are ready.
    bool is_stream = !memcmp(request->data + 4, "/mcp", 4);
    return append_answer(to, is_stream ? "405 Method Not Allowed" : "200 OK", "{}");
  }
  struct text id = {"", 0}, method = {"\"\"", 2};
  read_request(request->data + message->body, message->length - message->body, &id, &method);
  if (log) fprintf(log, "%.*s %.*s\n", method.length - 2, method.bytes + 1, id.length, id.bytes);
  if (!id.length) return append_answer(to, "202 Accepted", "");
  const char *suffix = request->data + (memcmp(request->data, "POST /mcp/", 10) ? 9 : 10);
  char body[1024];
  snprintf(
      body, sizeof body,
      "{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"result\":{\"protocolVersion\":\"2025-06-18\",\"capabilities\":{\"tools\":{}},"
      "\"serverInfo\":{\"name\":\"bench\",\"version\":\"1\"},\"tools\":[{\"name\":\"ping%s%.*s\",\"description\":"
      "\"Answers.\",\"inputSchema\":{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\"}}}}],"
      "\"content\":[{\"type\":\"text\",\"text\":\"pong\"}],\"isError\":false}}",
      id.length, id.bytes, suffix[-1] == '/' ? "_" : "", suffix[-1] == '/' ? (int)strcspn(suffix, " ") : 0, suffix);
  append_answer(to, "200 OK", body);
}

int main(int count, char **arguments) {
  if (count < 2) {
    fprintf(stderr, "usage: mcp_server PORT [LOG]\n");
    return 64;
  }
  FILE *log = count > 2 ? fopen(arguments[2], "a") : NULL;
  static char log_buffer[1 << 20];
  if (log) setvbuf(log, log_buffer, _IOFBF, sizeof log_buffer);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(arguments[1]))};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024)) {
    perror("mcp_server: listen");
    return 71;
  }
  int poller = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
  epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
  for (;;) {
    struct epoll_event events[256];
    int ready = epoll_wait(poller, events, 256, 20);
    if (ready == 0 && log) fflush(log);
    for (int i = 0; i < ready; i++) {
      int peer = events[i].data.fd;
      if (peer == listener) {
        while ((peer = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
          if (peer >= most_connections) {
            close(peer);
            continue;
          }
          setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
          in[peer].length = out[peer].length = 0;
          event = (struct epoll_event){.events = EPOLLIN, .data.fd = peer};
          epoll_ctl(poller, EPOLL_CTL_ADD, peer, &event);
        }
        continue;
      }
      buffer_reserve(&in[peer], 65536);
      ssize_t received = recv(peer, in[peer].data + in[peer].length, 65536, 0);
      if (received < 0 && errno == EAGAIN) continue;
      struct message message;
      int parsed = -1;
      if (received > 0) {
        in[peer].length += (size_t)received;
        while ((parsed = message_parse(&in[peer], false, &message)) == 1) {
          answer(&in[peer], &message, &out[peer], log);
          buffer_drop(&in[peer], message.length);
        }
      }
      // Answers are far smaller than a socket's buffer.
      if (out[peer].length && send(peer, out[peer].data, out[peer].length, MSG_NOSIGNAL) < 0) parsed = -1;
      out[peer].length = 0;
      if (parsed < 0) close(peer);
    }
  }
}
