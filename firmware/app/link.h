/* SPDX-License-Identifier: Apache-2.0 */
/* The serial link to the host: commands come in, replies of one or more lines go out, plain or framed
 * (docs/protocol.md). */
#ifndef P2B_LINK_H
#define P2B_LINK_H

#include <stdint.h>

#include "model.h"

/* Longest command with its frame: 768 bytes of image in base64 and a few words. */
#define LINK_COMMAND_BYTES 1088u
/* Longest reply line: the results, at most five characters a value. */
#define LINK_REPLY_BYTES (192u + 5u * P2B_OUTPUT_BYTES)

/* Take one byte from the host; return the command (terminated, to be consumed before the next byte) when it is
 * complete and to be executed, else 0. Damaged frames and repeated commands are answered here. */
char *link_receive(uint8_t byte);

/* Turn framing on or off from the next reply on. */
void link_set_framed(int framed);

/* Compose a line of a reply from parts; link_end_line() sends it. */
void link_text(const char *text);
void link_number(uint32_t number);
void link_hex(uint32_t word);
void link_end_line(void);

/* Send a line made of one text, or of a tag and a number (tag-42); send m-ready, which ends a reply. */
void link_send(const char *text);
void link_send_number(const char *tag, uint32_t number);
void link_send_ready(void);

#endif
