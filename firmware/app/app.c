/* SPDX-License-Identifier: Apache-2.0 */
/* The device application: EnergyRunner's commands (MLPerf Tiny, performance mode) and this project's own.
 * The protocol, with examples, is docs/protocol.md. */
#include <string.h>

#include "clock.h"
#include "codec.h"
#include "link.h"
#include "network.h"
#include "p2b_arithmetic.h"
#include "p2b_fit.h"
#include "port.h"
#include "sha256.h"

#define APP_PROFILE "paper2board device application 1, protocol 2"
#define MAX_INFERENCES 100000u

/* The benchmark of MLPerf Tiny that has this network's input and output: a runner finds its script by this name, and
 * takes probabilities for results. */
#if P2B_INPUT_H == 32 && P2B_INPUT_W == 32 && P2B_INPUT_C == 3 && P2B_OUTPUT_BYTES == 10
#define BENCHMARK "ic01"
#elif P2B_INPUT_H == 96 && P2B_INPUT_W == 96 && P2B_INPUT_C == 3 && P2B_OUTPUT_BYTES == 2
#define BENCHMARK "vww01"
#endif

/* Bytes of the network's input that have come. */
static uint32_t input_loaded;
static int input_expected;
static int has_results;
static int framing_asked = -1; /* 1 or 0 once the host has asked for framing on or off */

#ifdef P2B_FIT
static p2b_fit_t photo;
static uint32_t photo_row_bytes, photo_row_left, photo_rows_left;
static int input_is_photo;
#endif

static void tagged(const char *tag, const char *text)
{
    link_text(tag);
    link_text("-[");
    link_text(text);
    link_send("]");
}

/* EnergyRunner's time stamp, both that of energy mode, an edge on a pin, and that of performance mode, a number. Long
 * enough for a logic input that samples every 10 us; at least 1 us is asked for. */
#define LAP_PULSE_US 100u

static void timestamp(void)
{
    const uint32_t now = clock_us(), start = port_counter(), counts = LAP_PULSE_US * port_counts_per_us();

    port_pin(PORT_PIN_LAP, 0);
    while (port_elapsed(start, port_counter()) < counts) {
    }
    port_pin(PORT_PIN_LAP, 1);
    link_send_number("m-lap-us", now);
}

/* Cut the next word off `*rest`; an empty string when there is none. */
static char *next_word(char **rest)
{
    char *word = *rest;
    while (*word == ' ')
        ++word;
    char *end = word;
    while (*end != ' ' && *end != '\0')
        ++end;
    *rest = *end == '\0' ? end : end + 1;
    *end = '\0';
    return word;
}

/* --- commands: each takes the words after its own name ------------------------------------------- */

static void command_name(char *words)
{
    (void)words;
    link_text("m-name-dut-");
    link_send("[paper2board]");
}

static void command_profile(char *words)
{
    (void)words;
    tagged("m-profile", APP_PROFILE);
#ifdef BENCHMARK
    tagged("m-model", BENCHMARK);
#else
    tagged("m-model", P2B_MODEL_NAME);
#endif
    tagged("m-network", P2B_MODEL_NAME);
    tagged("m-model-sha256", P2B_MODEL_SHA256);
}

static void command_timestamp(char *words)
{
    (void)words;
    timestamp();
}

static void forget_input(void);

static void store_input(const uint8_t *pixels, uint32_t length)
{
    if (!input_expected) {
        link_send("e-[No input is expected]");
        return;
    }
    if (length > P2B_INPUT_BYTES - input_loaded) {
        forget_input();
        link_send("e-[More bytes than expected]");
        return;
    }
    for (uint32_t i = 0; i < length; ++i) {
        /* Pixels 0 … 255 are −128 … 127 to the network. */
        network_input[input_loaded++] = (int8_t)(pixels[i] - 128);
    }
    if (input_loaded == P2B_INPUT_BYTES) {
        input_expected = 0;
        link_send("m-load-done");
    }
}

/* Forget the input, whole or in part, and what came of it. */
static void forget_input(void)
{
    input_expected = 0;
    input_loaded = 0;
    has_results = 0;
#ifdef P2B_FIT
    photo_rows_left = 0;
    input_is_photo = 0;
#endif
}

static void store_decoded(const uint8_t *bytes, uint32_t length, void (*store)(const uint8_t *, uint32_t))
{
    if (length == CODEC_ERROR)
        link_send("e-[Not hexadecimal or base64 digits]");
    else
        store(bytes, length);
}

static void command_db(char *words)
{
    char *word = next_word(&words);
    uint32_t length;
    if (strcmp(word, "load") != 0) {
        store_decoded((uint8_t *)word, codec_decode_hex(word), store_input);
        return;
    }
    forget_input();
    if (!codec_parse_decimal(next_word(&words), &length) || length != P2B_INPUT_BYTES) {
        link_text("e-[The input takes ");
        link_number(P2B_INPUT_BYTES);
        link_send(" bytes]");
    } else {
        input_expected = 1;
        link_text("m-[Expecting ");
        link_number(P2B_INPUT_BYTES);
        link_send(" bytes]");
    }
}

static void command_db64(char *words)
{
    char *word = next_word(&words);
    store_decoded((uint8_t *)word, codec_decode_base64(word), store_input);
}

#ifdef P2B_FIT
static void command_photo(char *words)
{
    uint32_t width, height;
    forget_input();
    if (!codec_parse_decimal(next_word(&words), &width) || !codec_parse_decimal(next_word(&words), &height) ||
        width < 1 || width > 0xffffu || height < 1 || height > 0xffffu) {
        link_send("e-[A photo is 1 to 65535 pixels a side]");
        return;
    }
    photo_row_bytes = width * P2B_PHOTO_C;
    photo_row_left = photo_row_bytes;
    photo_rows_left = height;
    p2b_fit_begin(&photo, (uint16_t)width, (uint16_t)height, network_input);
    link_text("m-[Expecting ");
    link_number(height);
    link_text(" rows of ");
    link_number(photo_row_bytes);
    link_send(" bytes]");
}

static void store_photo(const uint8_t *rgb, uint32_t length)
{
    if (photo_rows_left == 0) {
        link_send("e-[No photo is expected]");
        return;
    }
    while (length > 0 && photo_rows_left > 0) {
        const uint32_t part = length < photo_row_left ? length : photo_row_left;

        p2b_fit_bytes(&photo, rgb, part);
        rgb += part;
        length -= part;
        photo_row_left -= part;
        if (photo_row_left == 0) {
            photo_row_left = photo_row_bytes;
            --photo_rows_left;
        }
    }
    if (length > 0) {
        forget_input();
        link_send("e-[More bytes than expected]");
        return;
    }
    if (photo_rows_left == 0) {
        input_loaded = P2B_INPUT_BYTES;
        input_is_photo = 1;
        link_send("m-load-done");
    }
}

static void command_row(char *words)
{
    char *word = next_word(&words);
    store_decoded((uint8_t *)word, codec_decode_hex(word), store_photo);
}

static void command_row64(char *words)
{
    char *word = next_word(&words);
    store_decoded((uint8_t *)word, codec_decode_base64(word), store_photo);
}
#endif

/* Refuse a command that tells of an inference if there is none. */
static int refused(void)
{
    if (!has_results)
        link_send("e-[No inference has run on this input]");
    return !has_results;
}

static void send_outputs(const char *tag)
{
    const int8_t *output = p2b_output(&p2b_model, 0);
    link_text(tag);
    for (uint32_t i = 0; i < P2B_OUTPUT_BYTES; ++i) {
        link_text(i == 0 ? "-[" : ",");
        if (output[i] < 0)
            link_text("-");
        link_number((uint32_t)(output[i] < 0 ? -output[i] : output[i]));
    }
    link_send("]");
}

static void command_outputs(char *words)
{
    (void)words;
    if (refused())
        return;
    send_outputs("m-outputs");
}

#ifdef BENCHMARK
/* What a class weighs, 2^20 at most: exp(scale * (output - largest)). */
static uint32_t class_weight(int32_t output, int32_t largest)
{
    /* Of the output one below, Q31; the compiler evaluates it. */
    static const int32_t one_below = (int32_t)(__builtin_exp(-P2B_OUTPUT_SCALE) * 2147483648.0);
    int32_t weight = INT32_MAX;

    /* TFLite gives every softmax these units: the network has done it. */
    if (P2B_OUTPUT_SCALE == 1.0 / 256 && P2B_OUTPUT_ZERO_POINT == -128)
        return (uint32_t)(output + 128) << 12;
    for (; output < largest; ++output)
        weight = p2b_multiply_high(weight, one_below);
    return (uint32_t)weight >> 11;
}

/* The benchmark's results: the classes' probabilities, to three decimals. */
static void send_probabilities(void)
{
    const int8_t *output = p2b_output(&p2b_model, 0);
    int32_t largest = INT8_MIN;
    uint32_t sum = 1; /* too little to show, and never 0 */

    for (uint32_t i = 0; i < P2B_OUTPUT_BYTES; ++i)
        if (output[i] > largest)
            largest = output[i];
    for (uint32_t i = 0; i < P2B_OUTPUT_BYTES; ++i)
        sum += class_weight(output[i], largest);
    link_text("m-results");
    for (uint32_t i = 0; i < P2B_OUTPUT_BYTES; ++i) {
        const uint32_t thousandths = (1000u * class_weight(output[i], largest) + sum / 2) / sum;

        link_text(i == 0 ? "-[" : ",");
        link_number(thousandths / 1000u);
        link_text(".");
        link_number(thousandths / 100u % 10u);
        link_number(thousandths / 10u % 10u);
        link_number(thousandths % 10u);
    }
    link_send("]");
}
#endif

static void command_results(char *words)
{
    (void)words;
    if (refused())
        return;
#ifdef BENCHMARK
    send_probabilities();
#else
    send_outputs("m-results");
#endif
}

/* Run inferences as one window for instruments. */
static void infer(uint32_t inferences)
{
    port_pin(PORT_PIN_RUNNING, 1);
    for (uint32_t i = 0; i < inferences; ++i)
        network_infer();
    port_pin(PORT_PIN_RUNNING, 0);
}

static void command_infer(char *words)
{
    uint32_t inferences = 1, warmups = 10;
    const char *first = next_word(&words), *second = next_word(&words);
    if (*first != '\0' && (!codec_parse_decimal(first, &inferences) || inferences < 1 || inferences > MAX_INFERENCES)) {
        link_send("e-[Inference iterations must be 1 to 100000]");
        return;
    }
    if (*second != '\0' && (!codec_parse_decimal(second, &warmups) || warmups > MAX_INFERENCES)) {
        link_send("e-[Inference warmup must be 0 to 100000]");
        return;
    }
    if (input_loaded != P2B_INPUT_BYTES) {
        link_send("e-[No complete input is loaded]");
        return;
    }
    link_send_number("m-warmup-start", warmups);
    for (uint32_t i = 0; i < warmups; ++i)
        network_infer();
    link_send("m-warmup-done");
    link_send_number("m-infer-start", inferences);
    timestamp();
    infer(inferences);
    timestamp();
    link_send("m-infer-done");
    has_results = 1;
    command_results(words);
}

#ifdef P2B_BOXES
static void command_boxes(char *words)
{
    (void)words;
    if (!refused())
        network_send_boxes(input_is_photo ? &photo : 0);
}
#endif

static void command_layers(char *words)
{
    (void)words;
    if (refused())
        return;
    tagged("m-counter", port_counter_unit());
    for (uint32_t i = 0; i < P2B_LAYER_COUNT; ++i) {
        link_text("m-layer-[");
        link_text(p2b_model.layer_names[i]);
        link_send_number("]", network_counts[i]);
    }
}

/* A piece of an input, at its byte AT; the piece that completes the input is answered with what the network makes of
 * it. A piece says where it belongs, so one that comes twice changes nothing. */
static void command_batch(char *words)
{
    const char *at = next_word(&words);
    char *piece = next_word(&words);
    const uint32_t length = codec_decode_base64(piece);
    uint32_t offset;

    if (!codec_parse_decimal(at, &offset) || offset > input_loaded || length > P2B_INPUT_BYTES - offset) {
        link_send("e-[A piece is AT BASE64, inside the input, without a gap before it]");
        return;
    }
    forget_input();
    input_loaded = offset;
    input_expected = 1;
    store_input((uint8_t *)piece, length);
    if (input_expected)
        return;
    infer(1);
    has_results = 1;
    command_outputs(words);
    command_layers(words);
#ifdef P2B_BOXES
    command_boxes(words);
#endif
}

static void command_memory(char *words)
{
    (void)words;
    port_memory_t memory;
    port_memory(&memory);
    link_send_number("m-memory-[text]", memory.text);
    link_send_number("m-memory-[rodata]", memory.rodata);
    link_send_number("m-memory-[data]", memory.data);
    link_send_number("m-memory-[bss]", memory.bss);
    link_send_number("m-memory-[arena]", P2B_ARENA_BYTES);
    link_send_number("m-memory-[stack]", memory.stack);
}

static void command_digest(char *words)
{
    (void)words;
    uint32_t digest[8];
    sha256(port_image_byte, port_image_bytes(), digest);
    link_text("m-digest-[");
    for (uint32_t i = 0; i < 8; ++i)
        link_hex(digest[i]);
    link_send("]");
}

static void command_crc(char *words)
{
    const char *word = next_word(&words);
    if (strcmp(word, "on") != 0 && strcmp(word, "off") != 0) {
        link_send("e-[crc is on or off]");
        return;
    }
    framing_asked = strcmp(word, "on") == 0;
    tagged("m-crc", word);
}

static void command_help(char *words);

static const struct {
    const char *name;
    void (*execute)(char *words);
    const char *help;
} commands[] = {
    {"help", command_help, "help              this list"},
    {"name", command_name, "name              name of the device"},
    {"profile", command_profile, "profile           application and model"},
    {"timestamp", command_timestamp, "timestamp         microseconds since start"},
    {"db", command_db, "db load N, db HEX load the N bytes of the input, HEX by HEX"},
    {"db64", command_db64, "db64 BASE64       as db HEX"},
#ifdef P2B_FIT
    {"photo", command_photo, "photo W H         load a photo of W x H pixels instead, fitted as it comes"},
    {"row", command_row, "row HEX           the photo's next bytes, row after row"},
    {"row64", command_row64, "row64 BASE64      as row HEX"},
#endif
    {"infer", command_infer, "infer [N=1 W=10]  W warm-ups, then N inferences"},
    {"batch", command_batch, "batch AT BASE64   as db64, at byte AT; complete, infer, outputs and layers"},
    {"results", command_results, "results           probabilities for a benchmark, else the outputs"},
    {"outputs", command_outputs, "outputs           outputs of the last inference (int8)"},
#ifdef P2B_BOXES
    {"boxes", command_boxes, "boxes             what a detector found in the last inference, after NMS"},
#endif
    {"layers", command_layers, "layers            count by layer in the last inference"},
    {"memory", command_memory, "memory            bytes by section, highest use of the stack"},
    {"digest", command_digest, "digest            SHA-256 of the loaded image"},
    {"crc", command_crc, "crc on|off        checksummed frames"},
};
#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static void command_help(char *words)
{
    (void)words;
    link_send(APP_PROFILE);
    for (uint32_t i = 0; i < COMMAND_COUNT; ++i)
        link_send(commands[i].help);
}

static void execute(const char *name, char *words)
{
    for (uint32_t i = 0; i < COMMAND_COUNT; ++i) {
        if (strcmp(name, commands[i].name) == 0) {
            commands[i].execute(words);
            return;
        }
    }
    if (*name != '\0') {
        link_text("e-[Unknown command: ");
        link_text(name);
        link_send("]");
    }
}

void app_start(void)
{
    link_set_framed(0);
    link_send("m-timestamp-mode-performance");
    timestamp();
    link_send("m-init-done");
    link_send_ready();
}

void app_receive(uint8_t byte)
{
    (void)clock_us();
    char *words = link_receive(byte);
    if (words == 0)
        return;
    const char *name = next_word(&words);
    execute(name, words);
    link_send_ready();
    if (framing_asked >= 0) {
        /* Only now: the reply goes out the way the command came in. */
        link_set_framed(framing_asked);
        framing_asked = -1;
    }
}
