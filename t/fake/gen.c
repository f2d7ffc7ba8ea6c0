
/*
 * The parts that a reply is made of, and their text.
 */

#include "gen.h"


/* all kinds of bytes and of escapes that JSON text may have */

#define FAKE_UNICODE                                                          \
    "\\u003cb\\u003e \\\"q\\\" \\\\ \\/ \\n\\t\xc3\xa9 \\u00e9 "              \
    "\xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x98\x80 \\ud83d\\ude00 \\u2028 "

#define FAKE_UNICODE_DECODED                                                  \
    "<b> \"q\" \\ / \n\t\xc3\xa9 \xc3\xa9 "                                   \
    "\xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x98\x80 \xf0\x9f\x98\x80 "             \
    "\xe2\x80\xa8 "


/* what the next frame is, and its number among those */

int
fake_gen_part(fake_gen_t *g, int64_t *i)
{
    *i = g->index;

    if (*i >= g->total) {
        return FAKE_PART_DONE;
    }

    if (*i < g->conf.thinking) {
        return FAKE_PART_THINKING;
    }

    *i -= g->conf.thinking;

    return (*i < g->conf.frames || g->conf.fault == FAKE_FAULT_FLOOD)
           ? FAKE_PART_TEXT : FAKE_PART_TOOL;
}


int64_t
fake_gen_eval_count(fake_gen_t *g)
{
    return g->conf.thinking + g->conf.frames;
}


/* the words of one frame */

void
fake_gen_text(fake_buf_t *b, fake_gen_t *g, int part, int64_t i)
{
    int     n;
    char    word[32];
    size_t  len;

    n = snprintf(word, sizeof(word), "%c%lld ",
                 part == FAKE_PART_THINKING ? 't' : 'w', (long long) i);

    fake_buf_add(b, word, n);
    len = n;

    if (g->conf.unicode) {
        fake_buf_str(b, FAKE_UNICODE);
        len += sizeof(FAKE_UNICODE_DECODED) - 1;
    }

    if ((size_t) g->conf.size > len) {
        len = g->conf.size - len;
        fake_buf_need(b, len);
        memset(b->data + b->len, 'x', len);
        b->len += len;
        b->data[b->len] = '\0';
    }
}


/* the words of all frames of a kind */

void
fake_gen_all(fake_buf_t *b, fake_gen_t *g, int part)
{
    int64_t  i, n;

    n = (part == FAKE_PART_THINKING) ? g->conf.thinking : g->conf.frames;

    for (i = 0; i < n; i++) {
        fake_gen_text(b, g, part, i);
    }
}


/* the call that the settings say; its arguments as an object, as a string */

void
fake_gen_tool_name(fake_buf_t *b, fake_gen_t *g)
{
    json_t  *name;

    name = g->conf.tool_name;

    if (name) {
        fake_buf_json(b, json_string_value(name), json_string_length(name));

    } else {
        fake_buf_str(b, "get_weather");
    }
}


void
fake_gen_tool_args(fake_buf_t *b, fake_gen_t *g)
{
    fake_buf_str(b, g->conf.tool_args ? json_string_value(g->conf.tool_args)
                                      : "{\"city\":\"Paris\"}");
}


void
fake_gen_tool_string(fake_buf_t *b, fake_gen_t *g)
{
    fake_buf_t  args;

    memset(&args, 0, sizeof(fake_buf_t));

    fake_gen_tool_args(&args, g);
    fake_buf_json(b, args.data, args.len);
    fake_buf_free(&args);
}
