/* The device line: commands in, reply lines out, plain or framed (docs/protocol.md). */
#ifndef P2B_LINE_H
#define P2B_LINE_H

#include <stdint.h>

#include "model.h"

/* Longest command with its frame: 768 bytes of image in base64 and a few words. */
#define LINE_COMMAND_BYTES 1088u
/* Longest reply line: the results, at most five characters a value. */
#define LINE_REPLY_BYTES (192u + 5u * P2B_OUTPUT_BYTES)

/* Take one byte from the host; return the command (terminated, to be consumed before the next byte) when it is
 * complete and to be executed, else 0. Damaged frames and repeated commands are answered here. */
char *line_receive(uint8_t byte);

/* Turn framing on or off from the next reply on. */
void line_set_framed(int framed);

/* Compose a reply line and send it. */
void line_text(const char *text);
void line_number(uint32_t number);
void line_hex(uint32_t word);
void line_end(void);

/* Send a line made of one text, or of a tag and a number (tag-42); send the closing m-ready. */
void line_send(const char *text);
void line_numbered(const char *tag, uint32_t number);
void line_ready(void);

#endif
