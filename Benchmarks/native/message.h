// An HTTP/1.1 message in a buffer: enough of the protocol for programs that trust their peers.
#ifndef MESSAGE_H
#define MESSAGE_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct buffer {
  char *data;
  size_t length, capacity;
};

static void buffer_reserve(struct buffer *buffer, size_t more) {
  if (buffer->length + more <= buffer->capacity) return;
  size_t capacity = buffer->capacity ? buffer->capacity : 4096;
  while (capacity < buffer->length + more) capacity *= 2;
  buffer->data = realloc(buffer->data, capacity);
  if (!buffer->data) {
    perror("realloc");
    exit(70);
  }
  buffer->capacity = capacity;
}

static void buffer_append(struct buffer *buffer, const void *bytes, size_t count) {
  buffer_reserve(buffer, count);
  memcpy(buffer->data + buffer->length, bytes, count);
  buffer->length += count;
}

/// Takes bytes away from the beginning.
static void buffer_drop(struct buffer *buffer, size_t count) {
  memmove(buffer->data, buffer->data + count, buffer->length - count);
  buffer->length -= count;
}

struct message {
  int status;       // of an answer
  bool closes;      // the connection ends after it
  size_t body;      // where the body begins; a chunked one with its chunks' lengths
  size_t length;    // of all of it
};

/// 1 when the buffer begins with a whole message, 0 while more is to come, -1 when it can't be read.
static int message_parse(const struct buffer *buffer, bool is_answer, struct message *message) {
  const char *data = buffer->data;
  const char *end = buffer->length ? memmem(data, buffer->length, "\r\n\r\n", 4) : NULL;
  if (!end) return buffer->length > 65536 ? -1 : 0;
  memset(message, 0, sizeof *message);
  message->body = (size_t)(end - data) + 4;
  if (is_answer) {
    if (message->body < 16 || memcmp(data, "HTTP/1.1 ", 9)) return -1;
    message->status = atoi(data + 9);
  }
  bool is_chunked = false;
  size_t length = 0;
  for (const char *line = memmem(data, message->body, "\r\n", 2); line && line < end;) {
    line += 2;
    if (!strncasecmp(line, "content-length:", 15)) length = strtoul(line + 15, NULL, 10);
    if (!strncasecmp(line, "transfer-encoding: chunked", 26)) is_chunked = true;
    if (!strncasecmp(line, "connection: close", 17)) message->closes = true;
    line = memmem(line, (size_t)(data + message->body - line), "\r\n", 2);
  }
  if (is_answer && (message->status == 204 || message->status == 304)) length = 0, is_chunked = false;
  if (!is_chunked) {
    message->length = message->body + length;
    return message->length <= buffer->length;
  }
  for (size_t at = message->body;;) {
    const char *line_end = memmem(data + at, buffer->length - at, "\r\n", 2);
    if (!line_end) return 0;
    size_t chunk = strtoul(data + at, NULL, 16);
    at = (size_t)(line_end - data) + 2 + chunk + 2;
    if (at > buffer->length) return 0;
    if (chunk == 0) {
      message->length = at;
      return 1;
    }
  }
}

#endif
