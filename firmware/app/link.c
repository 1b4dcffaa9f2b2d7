/* SPDX-License-Identifier: Apache-2.0 */
#include "link.h"

#include <string.h>

#include "codec.h"
#include "port.h"

#define TERMINATOR '%'
#define FRAME_START '~'
#define NO_SEQUENCE 0xffffffffu
/* "ssss:" before a framed command and ":cccccccc" after it. */
#define SEQUENCE_DIGITS 4u
#define CRC_DIGITS 8u
/* A repeated command is answered with the last reply, if that is at most this long. Commands with longer replies change
 * nothing on the device, so they are executed again. */
#define STORED_BYTES 256u

static char command[LINK_COMMAND_BYTES + 1];
static uint32_t command_length;
static int command_overflow;

static int framed;
static uint32_t sequence = NO_SEQUENCE;
static uint32_t reply_index;

static char reply[LINK_REPLY_BYTES];
static uint32_t reply_length;
static char stored[STORED_BYTES];
static uint32_t stored_length;
static int stored_whole;

static void append(const char *bytes, uint32_t length)
{
    for (uint32_t i = 0; i < length && reply_length < sizeof reply; ++i) {
        /* Whatever came in with an unknown command, a reply is one line of printable text. */
        reply[reply_length++] = bytes[i] >= ' ' && bytes[i] <= '~' ? bytes[i] : '?';
    }
}

void link_text(const char *text)
{
    append(text, (uint32_t)strlen(text));
}

void link_number(uint32_t number)
{
    char digits[11];
    append(digits, codec_format_decimal(number, digits));
}

void link_hex(uint32_t word)
{
    char digits[8];
    codec_format_hex(word, 8, digits);
    append(digits, 8);
}

static void begin(void)
{
    reply_length = 0;
    if (framed) {
        char head[9] = {FRAME_START, 0, 0, 0, 0, ':', 0, 0, ':'};
        codec_format_hex(sequence & 0xffffu, SEQUENCE_DIGITS, head + 1);
        codec_format_hex(reply_index++, 2, head + 6);
        append(head, sizeof head);
    }
}

void link_end_line(void)
{
    char tail[11] = {':'};
    uint32_t length = 0;
    if (framed) {
        codec_format_hex(codec_crc32(reply + 1, reply_length - 1), CRC_DIGITS, tail + 1);
        length = 1 + CRC_DIGITS;
    }
    tail[length++] = '\r';
    tail[length++] = '\n';
    port_write(reply, reply_length);
    port_write(tail, length);
    if (framed && stored_length + reply_length + length <= sizeof stored) {
        memcpy(stored + stored_length, reply, reply_length);
        memcpy(stored + stored_length + reply_length, tail, length);
        stored_length += reply_length + length;
    } else {
        stored_whole = 0;
    }
    begin();
}

void link_send(const char *text)
{
    link_text(text);
    link_end_line();
}

void link_send_number(const char *tag, uint32_t number)
{
    link_text(tag);
    link_text("-");
    link_number(number);
    link_end_line();
}

void link_send_ready(void)
{
    link_send("m-ready");
}

static void begin_reply(uint32_t new_sequence)
{
    sequence = new_sequence;
    reply_index = 0;
    stored_length = 0;
    stored_whole = 1;
    begin();
}

void link_set_framed(int on)
{
    framed = on;
    begin_reply(NO_SEQUENCE);
}

/* Check a frame ("~ssss:command:cccccccc"); return the command in it if it is to be executed. */
static char *unframe(void)
{
    const uint32_t smallest = 1 + SEQUENCE_DIGITS + 1 + 1 + CRC_DIGITS;
    uint32_t received, number;
    const uint32_t crc_at = command_length - CRC_DIGITS;
    if (command_overflow || command_length < smallest || command[1 + SEQUENCE_DIGITS] != ':' ||
        command[crc_at - 1] != ':' || !codec_parse_hex(command + 1, SEQUENCE_DIGITS, &number) ||
        !codec_parse_hex(command + crc_at, CRC_DIGITS, &received) || received != codec_crc32(command + 1, crc_at - 2)) {
        /* Not one of the numbered replies: the command that it answers cannot be known. */
        static const char damaged[] = "~e-[Damaged frame]\r\n";
        port_write(damaged, sizeof damaged - 1);
        return 0;
    }
    if (number == sequence && stored_whole) {
        port_write(stored, stored_length);
        return 0;
    }
    command[crc_at - 1] = '\0';
    begin_reply(number);
    return command + 1 + SEQUENCE_DIGITS + 1;
}

char *link_receive(uint8_t byte)
{
    if (byte == FRAME_START && framed) {
        /* Whatever came before was a frame that lost its end. */
        command_length = 0;
        command_overflow = 0;
    }
    if (byte != TERMINATOR) {
        if (command_length == 0 && (byte == '\r' || byte == '\n' || byte == ' '))
            return 0;
        if (command_length < LINK_COMMAND_BYTES)
            command[command_length++] = (char)byte;
        else
            command_overflow = 1;
        return 0;
    }

    command[command_length] = '\0';
    char *complete = command;
    if (framed && command_length > 0 && command[0] == FRAME_START) {
        complete = unframe();
    } else if (framed) {
        /* A host that has just connected does not know that the link is framed. Its first command is `crc on` (our
         * host) or `name` (EnergyRunner): answer it without a frame. */
        complete = strcmp(command, "crc on") == 0 || strcmp(command, "name") == 0 ? command : 0;
        if (complete)
            link_set_framed(0);
    } else {
        begin_reply(NO_SEQUENCE);
        if (command_overflow) {
            link_send("e-[Command is too long]");
            link_send_ready();
            complete = 0;
        }
    }
    command_length = 0;
    command_overflow = 0;
    return complete;
}
