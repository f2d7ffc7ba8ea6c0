
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The reader of JSON: what the callbacks are told and where, which texts it
 * refuses and at which byte; each the same however the text is cut into
 * pieces.  And the rule by which Go finds the field for a key.
 */


#include "unit.h"

#include "util/ngx_http_ollama_json.h"


#define MAX_EVENTS  4096


typedef struct {
    const char              *title;
    ngx_str_t                text;
    const char              *events;    /* NULL: not told here */
    const char              *error;     /* NULL: the text is right */
    off_t                    at;
    size_t                   keep;      /* 0: 64 */
    ngx_uint_t               multiple;
} json_case_t;


typedef struct {
    ngx_http_ollama_json_t   json;
    ngx_int_t                rc;
    size_t                   len;
    char                     events[MAX_EVENTS];
} json_run_t;


typedef struct {
    const char              *title;
    ngx_str_t                key;
    ngx_str_t                name;
    ngx_uint_t               equal;
} key_case_t;


static int json_null(void *data);
static int json_boolean(void *data, int value);
static int json_number(void *data, const char *p, size_t len);
static int json_string(void *data, const u_char *p, size_t len);
static int json_start_map(void *data);
static int json_key(void *data, const u_char *p, size_t len);
static int json_end_map(void *data);
static int json_start_array(void *data);
static int json_end_array(void *data);


static const yajl_callbacks  json_callbacks = {
    json_null, json_boolean, NULL, NULL, json_number, json_string,
    json_start_map, json_key, json_end_map, json_start_array, json_end_array
};


/* an event: its kind, [first byte, byte after the token), decoded text */

static json_case_t  json_cases[] = {

    { .title = "an empty object",
      .text = ngx_string("{}"),
      .events = "{0-1 }1-2 " },

    { .title = "each kind of value",
      .text = ngx_string("{\"a\":null,\"b\":[true,false],\"c\":-1.5e3}"),
      .events = "{0-1 k1-4=a n5-9 k10-13=b [14-15 b15-19=1 b20-25=0 ]25-26 "
                "k27-30=c d31-37=-1.5e3 }37-38 " },

    { .title = "strings",
      .text = ngx_string("[\"\",\"x\" , \"y z\"]"),
      .events = "[0-1 s1-3= s4-7=x s10-15=y z ]15-16 " },

    { .title = "whitespace everywhere",
      .text = ngx_string(" \t\r\n{ \"a\" :\n1 ,\t\"b\" : [ ] }\n "),
      .events = "{4-5 k6-9=a d12-13=1 k16-19=b [22-23 ]24-25 }26-27 " },

    { .title = "numbers next to what ends them",
      .text = ngx_string("[0,-0 ,1.0,10]"),
      .events = "[0-1 d1-2=0 d3-5=-0 d7-10=1.0 d11-13=10 ]13-14 " },

    { .title = "escapes are decoded",
      .text = ngx_string("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\"]"),
      .events = "[0-1 s1-31=\"\\/\b\f\n\r\tA\xc3\xa9 ]31-32 " },

    { .title = "a surrogate pair is one character",
      .text = ngx_string("[\"\\ud83d\\ude00\"]"),
      .events = "[0-1 s1-15=\xf0\x9f\x98\x80 ]15-16 " },

    { .title = "the quote and the backslash in escapes end nothing",
      .text = ngx_string("{\"a\\\"\":\"\\\\\",\"b\":\"\\\\\\\"\"}"),
      .events = "{0-1 k1-6=a\" s7-11=\\ k12-15=b s16-22=\\\" }22-23 " },

    { .title = "characters outside of ASCII",
      .text = ngx_string("[\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"]"),
      .events = "[0-1 s1-12=\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 ]12-13 " },

    { .title = "structure in strings is text",
      .text = ngx_string("{\"{,:\":\"[}]\"}"),
      .events = "{0-1 k1-6={,: s7-12=[}] }12-13 " },

    { .title = "a text that is a string",
      .text = ngx_string("\"abc\""),
      .events = "s0-5=abc " },

    { .title = "a text that is a number",
      .text = ngx_string("12"),
      .events = "d0-2=12 " },

    { .title = "a text that is a literal",
      .text = ngx_string(" null"),
      .events = "n1-5 " },

    { .title = "a string of just what is shown",
      .text = ngx_string("[\"abcd\",\"e\"]"),
      .events = "[0-1 s1-7=abcd s8-11=e ]11-12 ",
      .keep = 4 },

    { .title = "a string longer than what is shown",
      .text = ngx_string("[\"abcdefgh\",\"e\"]"),
      .events = "[0-1 s1-11=abcd s12-15=e ]15-16 ",
      .keep = 4 },

    { .title = "a key longer than what is shown",
      .text = ngx_string("{\"abcdefgh\":\"ijklmnop\"}"),
      .events = "{0-1 k1-11=abcd s12-22=ijkl }22-23 ",
      .keep = 4 },

    { .title = "what is shown ends with a whole character",
      .text = ngx_string("[\"abc\xf0\x9f\x98\x80xyz\"]"),
      .events = "[0-1 s1-13=abc\xf0\x9f\x98\x80 ]13-14 ",
      .keep = 4 },

    { .title = "what is shown ends with a whole escape",
      .text = ngx_string("[\"abc\\u0041xyz\\n\"]"),
      .events = "[0-1 s1-17=abcA ]17-18 ",
      .keep = 4 },

    { .title = "an escaped quote behind what is shown",
      .text = ngx_string("[\"abcd\\\"\",1]"),
      .events = "[0-1 s1-9=abcd d10-11=1 ]11-12 ",
      .keep = 4 },

    { .title = "several values",
      .text = ngx_string("{}\n{\"a\":1} [] 2 \"x\""),
      .events = "{0-1 }1-2 {3-4 k4-7=a d8-9=1 }9-10 [11-12 ]12-13 d14-15=2 "
                "s16-19=x ",
      .multiple = 1 },


    /* lone surrogates: old versions of yajl take them for something else */

    { .title = "a lone surrogate and an escape behind it",
      .text = ngx_string("[\"\\ud800\\\\x\",\"\\ud800\\\\u\"]"),
      .events = "[0-1 s1-12=?\\x s13-24=?\\u ]24-25 " },

    { .title = "a lone surrogate at the end",
      .text = ngx_string("[\"\\udbff\",\"a\"]"),
      .events = "[0-1 s1-9=? s10-13=a ]13-14 " },


    /* what is wrong, and where */

    { .title = "nothing",
      .text = ngx_string(""),
      .error = "unexpected end", .at = 0 },

    { .title = "only whitespace",
      .text = ngx_string(" \n "),
      .error = "unexpected end", .at = 3 },

    { .title = "a byte order mark",
      .text = ngx_string("\xef\xbb\xbf{}"),
      .error = "invalid char in json text", .at = 0 },

    { .title = "a letter",
      .text = ngx_string(" x"),
      .error = "invalid char in json text", .at = 1 },

    { .title = "a NUL",
      .text = ngx_string("{\0}"),
      .error = "invalid char in json text", .at = 1 },

    { .title = "a vertical tab is no whitespace",
      .text = ngx_string("{}\v"),
      .error = "invalid char in json text", .at = 2 },

    { .title = "a form feed is no whitespace",
      .text = ngx_string("[1,\f2]"),
      .error = "invalid char in json text", .at = 3 },

    { .title = "a form feed after a number",
      .text = ngx_string("[1\f]"),
      .error = "invalid char in json text", .at = 2 },

    { .title = "a comment",
      .text = ngx_string("{/* x */}"),
      .error = "invalid char in json text", .at = 1 },

    { .title = "a comment with a quote",
      .text = ngx_string("{} // \"\n"),
      .error = "invalid char in json text", .at = 3 },

    { .title = "what is wrong in front of what cannot be",
      .text = ngx_string("[1 2@"),
      .error = "after array element, I expect ',' or ']'", .at = 3 },

    { .title = "a number wrong in its last byte, cut anywhere",
      .text = ngx_string("[-0.5e+,1]"),
      .error = "malformed number, a digit is required after the exponent",
      .at = 7 },

    { .title = "literals without a gap: the row as a whole",
      .text = ngx_string("{\"a\":truefalse}"),
      .error = "after key and value, inside map, I expect ',' or '}'",
      .at = 5 },

    { .title = "single quotes",
      .text = ngx_string("{'a':1}"),
      .error = "invalid char in json text", .at = 1 },

    { .title = "a literal that isn't one",
      .text = ngx_string("[trux]"),
      .error = "invalid string in json text", .at = 4 },

    { .title = "a literal in capitals",
      .text = ngx_string("[True]"),
      .error = "invalid char in json text", .at = 1 },

    { .title = "a string in a literal",
      .text = ngx_string("[tr\"ue\"]"),
      .error = "invalid string in json text", .at = 3 },

    { .title = "a literal cut by whitespace",
      .text = ngx_string("[fal se]"),
      .error = "invalid string in json text", .at = 4 },

    { .title = "a minus alone",
      .text = ngx_string("[-]"),
      .error = "malformed number, a digit is required after the minus sign",
      .at = 2 },

    { .title = "a point without digits",
      .text = ngx_string("[1.]"),
      .error = "malformed number, a digit is required after the decimal "
               "point",
      .at = 3 },

    { .title = "an exponent without digits",
      .text = ngx_string("[1e+]"),
      .error = "malformed number, a digit is required after the exponent",
      .at = 4 },

    { .title = "a plus in front",
      .text = ngx_string("[+1]"),
      .error = "invalid char in json text", .at = 1 },

    { .title = "a point in front",
      .text = ngx_string("[.5]"),
      .error = "invalid char in json text", .at = 1 },

    { .title = "a leading zero: the number as a whole",
      .text = ngx_string("[1,01]"),
      .error = "after array element, I expect ',' or ']'", .at = 3 },

    { .title = "a colon in an array",
      .text = ngx_string("[1 :2]"),
      .error = "after array element, I expect ',' or ']'", .at = 3 },

    { .title = "two elements without a comma",
      .text = ngx_string("[12 345]"),
      .error = "after array element, I expect ',' or ']'", .at = 4 },

    { .title = "two strings without a comma",
      .text = ngx_string("[\"a\" \"b\"]"),
      .error = "after array element, I expect ',' or ']'", .at = 5 },

    { .title = "two commas",
      .text = ngx_string("[1,,2]"),
      .error = "unallowed token at this point in JSON text", .at = 3 },

    { .title = "a comma at the end of an array",
      .text = ngx_string("[1, ]"),
      .error = "unallowed token at this point in JSON text", .at = 4 },

    { .title = "a comma at the end of an object",
      .text = ngx_string("{\"a\":1, }"),
      .error = "invalid object key (must be a string)", .at = 8 },

    { .title = "a comma first",
      .text = ngx_string("{,\"a\":1}"),
      .error = "invalid object key (must be a string)", .at = 1 },

    { .title = "a number for a key",
      .text = ngx_string("{ 123:1}"),
      .error = "invalid object key (must be a string)", .at = 2 },

    { .title = "a literal for a key",
      .text = ngx_string("{\"a\":1,null :1}"),
      .error = "invalid object key (must be a string)", .at = 7 },

    { .title = "an array for a key",
      .text = ngx_string("{[]:1}"),
      .error = "invalid object key (must be a string)", .at = 1 },

    { .title = "no colon, but a comma",
      .text = ngx_string("{\"a\",1}"),
      .error = "object key and value must be separated by a colon (':')",
      .at = 4 },

    { .title = "no colon, but a number",
      .text = ngx_string("{\"a\" 123}"),
      .error = "object key and value must be separated by a colon (':')",
      .at = 5 },

    { .title = "no colon, but a string",
      .text = ngx_string("{\"a\" \"b\"}"),
      .error = "object key and value must be separated by a colon (':')",
      .at = 5 },

    { .title = "no value, but a comma",
      .text = ngx_string("{\"a\":,\"b\":1}"),
      .error = "unallowed token at this point in JSON text", .at = 5 },

    { .title = "no value",
      .text = ngx_string("{\"a\":}"),
      .error = "unallowed token at this point in JSON text", .at = 5 },

    { .title = "no comma, but a string",
      .text = ngx_string("{\"a\":1 \"b\":2}"),
      .error = "after key and value, inside map, I expect ',' or '}'",
      .at = 7 },

    { .title = "no comma, but a literal",
      .text = ngx_string("{\"a\":\"x\" false}"),
      .error = "after key and value, inside map, I expect ',' or '}'",
      .at = 9 },

    { .title = "an object closed as an array",
      .text = ngx_string("{\"a\":1 ]"),
      .error = "after key and value, inside map, I expect ',' or '}'",
      .at = 7 },

    { .title = "an array closed as an object",
      .text = ngx_string("[1}"),
      .error = "after array element, I expect ',' or ']'", .at = 2 },

    { .title = "an empty array closed as an object",
      .text = ngx_string("[}"),
      .error = "unallowed token at this point in JSON text", .at = 1 },

    { .title = "a bracket too many",
      .text = ngx_string("{}}"),
      .error = "trailing garbage", .at = 2 },

    { .title = "two objects",
      .text = ngx_string("{}\n{}"),
      .error = "trailing garbage", .at = 3 },

    { .title = "a comma behind the object",
      .text = ngx_string("{},"),
      .error = "trailing garbage", .at = 2 },

    { .title = "a number behind the object, and nothing else",
      .text = ngx_string("{} 12"),
      .error = "trailing garbage", .at = 3 },

    { .title = "a number behind the object",
      .text = ngx_string("{} 12 "),
      .error = "trailing garbage", .at = 3 },

    { .title = "a literal behind the object",
      .text = ngx_string("{} null"),
      .error = "trailing garbage", .at = 3 },

    { .title = "half a literal behind the object",
      .text = ngx_string("{} nu"),
      .error = "trailing garbage", .at = 3 },

    { .title = "a string behind the object",
      .text = ngx_string("{} \"abc\""),
      .error = "trailing garbage", .at = 3 },

    { .title = "a letter behind the object",
      .text = ngx_string("{}x"),
      .error = "trailing garbage", .at = 2 },

    { .title = "an unfinished literal",
      .text = ngx_string("[tru"),
      .error = "unexpected end", .at = 4 },

    { .title = "an unfinished number",
      .text = ngx_string("[1."),
      .error = "unexpected end", .at = 3 },

    { .title = "an unfinished string",
      .text = ngx_string("[\"abc"),
      .error = "unexpected end", .at = 5 },

    { .title = "an unfinished escape",
      .text = ngx_string("[\"abc\\"),
      .error = "unexpected end", .at = 6 },

    { .title = "an unfinished character",
      .text = ngx_string("[\"abc\xe2\x82"),
      .error = "unexpected end", .at = 7 },

    { .title = "an unfinished array, its last element wrong",
      .text = ngx_string("[1 2"),
      .error = "after array element, I expect ',' or ']'", .at = 3 },

    { .title = "what is wrong first is told: in a string",
      .text = ngx_string("[\"a\x01\", 1 2]"),
      .error = "a control character in a string", .at = 3 },

    { .title = "what is wrong first is told: in front of a string",
      .text = ngx_string("[1 2, \"a\x01\"]"),
      .error = "after array element, I expect ',' or ']'", .at = 3 },

    { .title = "a bad escape",
      .text = ngx_string("[\"abc\\x\"]"),
      .error = "an invalid escape in a string", .at = 6 },

    { .title = "a bad escape: NUL",
      .text = ngx_string("[\"abc\\\0\"]"),
      .error = "an invalid escape in a string", .at = 6 },

    { .title = "a bad escape: a capital",
      .text = ngx_string("[\"\\N\"]"),
      .error = "an invalid escape in a string", .at = 3 },

    { .title = "a bad escape behind what is shown",
      .text = ngx_string("[\"abcdefgh\\x\"]"),
      .error = "an invalid escape in a string", .at = 11,
      .keep = 4 },

    { .title = "no hexadecimal digit",
      .text = ngx_string("[\"\\u00g0\"]"),
      .error = "an invalid \\u escape in a string", .at = 6 },

    { .title = "too few hexadecimal digits",
      .text = ngx_string("[\"\\u123\"]"),
      .error = "an invalid \\u escape in a string", .at = 7 },

    { .title = "a digit that is none",
      .text = ngx_string("[\"\\u\x10\x11\x12\x13\"]"),
      .error = "an invalid \\u escape in a string", .at = 4 },

    { .title = "a newline in a string",
      .text = ngx_string("[\"a\nb\"]"),
      .error = "a control character in a string", .at = 3 },

    { .title = "a control character behind what is shown",
      .text = ngx_string("[\"abcdefg\x1fh\"]"),
      .error = "a control character in a string", .at = 9,
      .keep = 4 },

    { .title = "DEL is an ordinary character",
      .text = ngx_string("[\"\x7f\"]"),
      .events = "[0-1 s1-4=\x7f ]4-5 " },

    { .title = "a value is wrong, in the second of several",
      .text = ngx_string("{} {\"a\" 1}"),
      .error = "object key and value must be separated by a colon (':')",
      .at = 8, .multiple = 1 }
};


static key_case_t  key_cases[] = {

    { "the same", ngx_string("task_id"), ngx_string("task_id"), 1 },
    { "capitals", ngx_string("TASK_ID"), ngx_string("task_id"), 1 },
    { "mixed case", ngx_string("tAsK_Id"), ngx_string("task_id"), 1 },
    { "long s", ngx_string("ta\xc5\xbfk_id"), ngx_string("task_id"), 1 },
    { "long s first", ngx_string("\xc5\xbf" "ession_id"),
      ngx_string("session_id"), 1 },
    { "long s twice", ngx_string("se\xc5\xbf\xc5\xbfion_id"),
      ngx_string("session_id"), 1 },
    { "long s last", ngx_string("option\xc5\xbf"), ngx_string("options"), 1 },
    { "kelvin sign", ngx_string("tas\xe2\x84\xaa_id"), ngx_string("task_id"),
      1 },
    { "kelvin sign first", ngx_string("\xe2\x84\xaa" "eep_alive"),
      ngx_string("keep_alive"), 1 },
    { "kelvin sign last", ngx_string("to\xe2\x84\xaa"), ngx_string("tok"), 1 },
    { "both", ngx_string("TA\xc5\xbf\xe2\x84\xaa_ID"), ngx_string("task_id"),
      1 },
    { "one byte of the kelvin sign", ngx_string("tas\xe2_id"),
      ngx_string("task_id"), 0 },
    { "two bytes of the kelvin sign", ngx_string("to\xe2\x84"),
      ngx_string("tok"), 0 },
    { "one byte of the long s", ngx_string("option\xc5"),
      ngx_string("options"), 0 },
    { "another letter of the block", ngx_string("ta\xc5\xbek_id"),
      ngx_string("task_id"), 0 },
    { "the kelvin sign for another letter", ngx_string("ta\xe2\x84\xaak_id"),
      ngx_string("task_id"), 0 },
    { "the long s for another letter", ngx_string("tas\xc5\xbf_id"),
      ngx_string("task_id"), 0 },
    { "a dotless i is no i", ngx_string("task_\xc4\xb1" "d"),
      ngx_string("task_id"), 0 },
    { "a dotted capital i is no i", ngx_string("task_\xc4\xb0" "D"),
      ngx_string("task_id"), 0 },
    { "a fullwidth letter", ngx_string("\xef\xbc\xad" "odel"),
      ngx_string("model"), 0 },
    { "a Cyrillic letter", ngx_string("m\xd0\xbe" "del"),
      ngx_string("model"), 0 },
    { "longer", ngx_string("task_idx"), ngx_string("task_id"), 0 },
    { "shorter", ngx_string("task_i"), ngx_string("task_id"), 0 },
    { "empty", ngx_string(""), ngx_string("task_id"), 0 },
    { "a NUL behind", ngx_string("task_id\0"), ngx_string("task_id"), 0 },
    { "a blank behind", ngx_string("task_id "), ngx_string("task_id"), 0 },
    { "other punctuation", ngx_string("task-id"), ngx_string("task_id"), 0 },
    { "DEL for underscore", ngx_string("task\x7fid"), ngx_string("task_id"),
      0 },
    { "no letter: @ and `", ngx_string("@"), ngx_string("`"), 0 },
    { "no letter: [ and {", ngx_string("["), ngx_string("{"), 0 }
};


static void
json_event(json_run_t *run, char kind, off_t start, const char *sep,
    const void *p, size_t len)
{
    off_t  end;

    end = ngx_http_ollama_json_offset(&run->json);

    if (start < 0) {
        start += end;
    }

    run->len += snprintf(run->events + run->len, MAX_EVENTS - run->len,
                         "%c%d-%d%s", kind, (int) start, (int) end, sep);

    assert_true(run->len + len + 2 < MAX_EVENTS);

    memcpy(run->events + run->len, p, len);
    run->len += len;

    run->events[run->len++] = ' ';
    run->events[run->len] = '\0';
}


static int
json_null(void *data)
{
    json_event(data, 'n', -4, "", "", 0);
    return 1;
}


static int
json_boolean(void *data, int value)
{
    json_event(data, 'b', value ? -4 : -5, "=", value ? "1" : "0", 1);
    return 1;
}


static int
json_number(void *data, const char *p, size_t len)
{
    json_event(data, 'd', -(off_t) len, "=", p, len);
    return 1;
}


static int
json_string(void *data, const u_char *p, size_t len)
{
    json_run_t *run = data;

    json_event(run, 's', run->json.string, "=", p, len);
    return 1;
}


static int
json_start_map(void *data)
{
    json_event(data, '{', -1, "", "", 0);
    return 1;
}


static int
json_key(void *data, const u_char *p, size_t len)
{
    json_run_t *run = data;

    json_event(run, 'k', run->json.string, "=", p, len);
    return 1;
}


static int
json_end_map(void *data)
{
    json_event(data, '}', -1, "", "", 0);
    return 1;
}


static int
json_start_array(void *data)
{
    json_event(data, '[', -1, "", "", 0);
    return 1;
}


static int
json_end_array(void *data)
{
    json_event(data, ']', -1, "", "", 0);
    return 1;
}


/* Reads a text: a piece of "first" bytes, then pieces of "step" bytes. */

static void
json_read(json_case_t *c, json_run_t *run, ngx_pool_t *pool, size_t first,
    size_t step)
{
    size_t   n, done;
    u_char  *piece;

    ngx_memzero(run, sizeof(json_run_t));

    assert_int_equal(ngx_http_ollama_json_init(&run->json, pool,
                                               &json_callbacks, run,
                                               c->keep ? c->keep : 64,
                                               c->multiple),
                     NGX_OK);

    run->rc = NGX_OK;

    for (done = 0, n = first; done < c->text.len || n == 0; n = step) {

        n = ngx_min(n, c->text.len - done);

        /* a copy, so that nothing of it can be used later, or beyond it */

        piece = malloc(n ? n : 1);
        assert_non_null(piece);
        memcpy(piece, c->text.data + done, n);

        run->rc = ngx_http_ollama_json_feed(&run->json, piece, n);

        assert_memory_equal(piece, c->text.data + done, n);
        free(piece);

        if (run->rc != NGX_OK) {
            return;
        }

        done += n;

        assert_int_equal(run->json.pos, done);
    }

    run->rc = ngx_http_ollama_json_end(&run->json);
}


static void
json_check(json_case_t *c, const char *events, size_t first, size_t step)
{
    json_run_t   run;
    ngx_pool_t  *pool;

    pool = ngx_create_pool(4096, NULL);
    assert_non_null(pool);

    json_read(c, &run, pool, first, step);

    if (c->error == NULL && run.rc != NGX_OK) {
        fail_msg("%d, then %d bytes each: refused: \"%s\" at %d", (int) first,
                 (int) step, run.json.error, (int) run.json.error_at);
    }

    if (c->error) {
        if (run.rc != NGX_ERROR) {
            fail_msg("%d, then %d bytes each: taken", (int) first, (int) step);
        }

        if (run.json.error == NULL || strcmp(run.json.error, c->error) != 0
            || run.json.error_at != c->at)
        {
            fail_msg("%d, then %d bytes each: \"%s\" at %d, not \"%s\" at %d",
                     (int) first, (int) step, run.json.error,
                     (int) run.json.error_at, c->error, (int) c->at);
        }
    }

    if (events && strcmp(events, run.events) != 0) {
        fail_msg("%d, then %d bytes each:\n%s\nnot\n%s", (int) first,
                 (int) step, run.events, events);
    }

    ngx_http_ollama_json_free(&run.json);
    ngx_destroy_pool(pool);
}


static void
json_case_test(void **state)
{
    json_case_t *c = *state;

    size_t       i;
    json_run_t   run;
    ngx_pool_t  *pool;

    json_check(c, c->events, c->text.len, 1);

    /* the callbacks' order and places don't depend on the pieces */

    pool = ngx_create_pool(4096, NULL);
    json_read(c, &run, pool, c->text.len, 1);

    json_check(c, run.events, 1, 1);

    for (i = 0; i < c->text.len; i++) {
        json_check(c, run.events, i, c->text.len);
        json_check(c, run.events, i, 2);
    }

    ngx_destroy_pool(pool);
}


static void
key_case_test(void **state)
{
    key_case_t *c = *state;

    u_char  *key;

    /* a copy of just this length: a byte further is seen by AddressSanitizer */

    key = malloc(c->key.len ? c->key.len : 1);
    assert_non_null(key);
    memcpy(key, c->key.data, c->key.len);

    assert_int_equal(ngx_http_ollama_json_key_eq(key, c->key.len, &c->name),
                     c->equal);

    free(key);
}


static int
json_refuse(void *data, const char *p, size_t len)
{
    return 0;
}


static void
json_refused_test(void **state)
{
    size_t                  i;
    ngx_int_t               rc;
    ngx_str_t               text = ngx_string("{\"a\":\"b\", \"c\": 12 }");
    ngx_pool_t             *pool;
    yajl_callbacks          callbacks;
    ngx_http_ollama_json_t  json;

    ngx_memzero(&callbacks, sizeof(yajl_callbacks));
    callbacks.yajl_number = json_refuse;

    for (i = 0; i < text.len; i++) {

        pool = ngx_create_pool(4096, NULL);
        ngx_memzero(&json, sizeof(ngx_http_ollama_json_t));

        assert_int_equal(ngx_http_ollama_json_init(&json, pool, &callbacks,
                                                   NULL, 64, 0),
                         NGX_OK);

        rc = ngx_http_ollama_json_feed(&json, text.data, i);

        if (rc == NGX_OK) {
            rc = ngx_http_ollama_json_feed(&json, text.data + i,
                                           text.len - i);
        }

        assert_int_equal(rc, NGX_ERROR);
        assert_null(json.error);
        assert_int_equal(json.error_at, 17);

        ngx_destroy_pool(pool);
    }
}


/* a refusal can come as late as when the text is over */

static void
json_refused_end_test(void **state)
{
    ngx_str_t               text = ngx_string(" 12");
    ngx_pool_t             *pool;
    yajl_callbacks          callbacks;
    ngx_http_ollama_json_t  json;

    ngx_memzero(&callbacks, sizeof(yajl_callbacks));
    callbacks.yajl_number = json_refuse;

    pool = ngx_create_pool(4096, NULL);
    ngx_memzero(&json, sizeof(ngx_http_ollama_json_t));

    assert_int_equal(ngx_http_ollama_json_init(&json, pool, &callbacks, NULL,
                                               64, 0),
                     NGX_OK);
    assert_int_equal(ngx_http_ollama_json_feed(&json, text.data, text.len),
                     NGX_OK);
    assert_int_equal(ngx_http_ollama_json_end(&json), NGX_ERROR);
    assert_null(json.error);
    assert_int_equal(json.error_at, 3);

    ngx_destroy_pool(pool);
}


static void
json_free_test(void **state)
{
    ngx_uint_t              pools;
    ngx_pool_t             *pool;
    ngx_http_ollama_json_t  json;

    pools = ngx_stub_pools;

    pool = ngx_create_pool(4096, NULL);
    ngx_memzero(&json, sizeof(ngx_http_ollama_json_t));

    /* not begun yet */
    ngx_http_ollama_json_free(&json);

    assert_int_equal(ngx_http_ollama_json_init(&json, pool, &json_callbacks,
                                               NULL, 64, 0),
                     NGX_OK);

    ngx_http_ollama_json_free(&json);
    ngx_http_ollama_json_free(&json);

    ngx_destroy_pool(pool);

    assert_int_equal(ngx_stub_pools, pools);
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_add_rows(&suite, json_case_test, json_cases, sizeof(json_case_t),
                  unit_nelts(json_cases));
    unit_add_rows(&suite, key_case_test, key_cases, sizeof(key_case_t),
                  unit_nelts(key_cases));

    unit_add(&suite, "a callback refuses", json_refused_test, NULL);
    unit_add(&suite, "a callback refuses at the end", json_refused_end_test,
             NULL);
    unit_add(&suite, "freed twice", json_free_test, NULL);

    return unit_run(&suite, "json");
}
