
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What is collected of a reply for a session: the same however the network has
 * cut it, of a reply that breaks off all that whole frames had, and nothing
 * that a server would refuse when it is sent back.
 */


#include "unit.h"

#include "reply/ngx_http_ollama_capture.h"


#define LINES       NGX_HTTP_OLLAMA_CAPTURE_LINES
#define OBJECT      NGX_HTTP_OLLAMA_CAPTURE_OBJECT
#define EVENTS      NGX_HTTP_OLLAMA_CAPTURE_EVENTS
#define COMPLETION  NGX_HTTP_OLLAMA_CAPTURE_COMPLETION

#define MAX         (16 * 1024 * 1024)

/* the length of the part of a reply in front of something */
#define AFTER(text)  (sizeof(text) - 1)


typedef struct {
    const char                     *title;    /* must be first */
    ngx_http_ollama_capture_form_e  form;
    ngx_str_t                       body;
    size_t                          max;      /* 0: MAX */

    /* NULL: nothing */

    const char                   *content;
    const char                   *thinking;
    const char                   *tools;
    const char                   *reason;
    const char                   *model;
    const char                   *stats;    /* NULL: none */
    const char                   *flags;    /* "last over truncated failed" */

    /* of the object that is the last */
    size_t                        open;
    size_t                        close;
} capture_case_t;


#define CHAT_1  "{\"model\":\"m:1b\",\"created_at\":\"2026-11-23T00:00:00Z\","\
                "\"message\":{\"role\":\"assistant\",\"content\":\"The\"},"   \
                "\"done\":false}\n"
#define CHAT_2  "{\"model\":\"m:1b\",\"message\":{\"role\":\"assistant\","    \
                "\"content\":\"\",\"thinking\":\"so {\\\"done\\\":true}\"},"  \
                "\"done\":false}\n"
#define CHAT_3  "{\"model\":\"m:1b\",\"message\":{\"role\":\"assistant\","    \
                "\"content\":\" end\"},\"done\":true,\"done_reason\":"        \
                "\"stop\",\"total_duration\":5191566416,\"load_duration\":"   \
                "2154458,\"prompt_eval_count\":26,\"prompt_eval_duration\":"  \
                "383809000,\"eval_count\":298,\"eval_duration\":4799921000"
#define STATS   "{\"total_duration\":5191566416,\"load_duration\":2154458,"   \
                "\"prompt_eval_count\":26,\"prompt_eval_duration\":383809000,"\
                "\"eval_count\":298,\"eval_duration\":4799921000}"

#define TOOL_1  "{\"id\":\"call_1\",\"function\":{\"index\":0,\"name\":\"f\","\
                "\"arguments\":{\"a\":[1,{\"b\":\"]}\\\"\"}],\"c\":{}}}}"
#define TOOL_2  "{ \"function\" : {\"name\":\"g\",\"arguments\":{}} }"
#define CALLS(list)                                                           \
                "{\"message\":{\"role\":\"assistant\",\"content\":\"\","      \
                "\"tool_calls\":" list "},\"done\":false}\n"

#define CHUNK(delta)                                                          \
                "data: {\"id\":\"chatcmpl-1\",\"object\":"                    \
                "\"chat.completion.chunk\",\"model\":\"m\",\"choices\":"      \
                "[{\"index\":0,\"delta\":{" delta "},"                        \
                "\"finish_reason\":null}]}\n\n"
#define FINISH(reason)                                                        \
                "data: {\"choices\":[{\"index\":0,\"delta\":{},"              \
                "\"finish_reason\":\"" reason "\"}]"
#define USAGE   "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":26,"      \
                "\"completion_tokens\":298,\"total_tokens\":324}}\n\n"
#define MARK    "data: [DONE]\n\n"
#define PART(index, more)                                                     \
                CHUNK("\"tool_calls\":[{\"index\":" index "," more "}]")
#define NAMED(id, name)                                                       \
                "\"id\":\"" id "\",\"type\":\"function\",\"function\":"       \
                "{\"name\":\"" name "\",\"arguments\":\"\"}"
#define ARGS(text)  "\"function\":{\"arguments\":\"" text "\"}"
#define CALL(id, name, args)                                                  \
                "{\"id\":\"" id "\",\"type\":\"function\",\"function\":"      \
                "{\"name\":\"" name "\",\"arguments\":\"" args "\"}}"

#define ANSWER  "{\"id\":\"chatcmpl-1\",\"model\":\"m\",\"choices\":"         \
                "[{\"index\":0,\"message\":{\"role\":\"assistant\","          \
                "\"content\":\"Hi\",\"reasoning\":\"hm\",\"tool_calls\":["    \
                CALL("c", "f", "{}") "]},\"finish_reason\":\"tool_calls\"}]," \
                "\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}"


static capture_case_t  capture_cases[] = {

    /* /api/chat */

    { .title = "lines: a chat",
      .form = LINES,
      .body = ngx_string(CHAT_1 CHAT_2 CHAT_3 "}\n"),
      .content = "The end", .thinking = "so {\"done\":true}",
      .reason = "stop", .model = "m:1b", .stats = STATS, .flags = "last over",
      .open = AFTER(CHAT_1 CHAT_2), .close = AFTER(CHAT_1 CHAT_2 CHAT_3) },

    { .title = "lines: the last one without its newline",
      .form = LINES,
      .body = ngx_string(CHAT_1 CHAT_3 "\r\t}"),
      .content = "The end", .reason = "stop", .model = "m:1b", .stats = STATS,
      .flags = "last over",
      .open = AFTER(CHAT_1), .close = AFTER(CHAT_1 CHAT_3 "\r\t") },

    { .title = "lines: not finished",
      .form = LINES,
      .body = ngx_string(CHAT_1 CHAT_2),
      .content = "The", .thinking = "so {\"done\":true}", .model = "m:1b",
      .flags = "" },

    { .title = "lines: of a cut frame nothing is taken",
      .form = LINES,
      .body = ngx_string(CHAT_1 CHAT_3),
      .content = "The", .model = "m:1b", .flags = "" },

    { .title = "lines: nothing",
      .form = LINES, .body = ngx_string(""), .flags = "" },

    { .title = "lines: cached tokens, in the order of Ollama",
      .form = LINES,
      .body = ngx_string("{\"eval_count\":0,\"prompt_eval_cached_count\":7,"
                         "\"prompt_eval_count\":123456789012345678}\n"),
      .stats = "{\"prompt_eval_count\":123456789012345678,"
               "\"prompt_eval_cached_count\":7,\"eval_count\":0}",
      .flags = "" },

    { .title = "lines: numbers that are no counts",
      .form = LINES,
      .body = ngx_string("{\"eval_count\":-1,\"load_duration\":1.5,"
                         "\"total_duration\":1e3,\"eval_duration\":\"1\","
                         "\"prompt_eval_count\":1234567890123456789,"
                         "\"prompt_eval_duration\":[1]}\n"),
      .flags = "" },

    { .title = "lines: escapes and characters of all lengths",
      .form = LINES,
      .body = ngx_string("{\"message\":{\"content\":\"\\\"\\\\\\/\\b\\f\\n\\r"
                         "\\t\\u0041\\u00e9\\u20AC\\ud83d\\uDE00|"
                         "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\\u003c\"}}\n"),
      .content = "\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80|"
                 "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80<",
      .flags = "" },

    { .title = "lines: halves of pairs",
      .form = LINES,
      .body = ngx_string("{\"message\":{\"content\":\"\\ud83d\"}}\n"
                         "{\"message\":{\"content\":\"\\ude00-\\ud83dx\"}}\n"
                         "{\"message\":{\"content\":\"\\ud83d\\n\\ud83d\\u0041"
                         "\\ud83d\\ud83d\\ude00\\ude00\"}}\n"),
      .content = "\xef\xbf\xbd\xef\xbf\xbd-\xef\xbf\xbdx\xef\xbf\xbd\n"
                 "\xef\xbf\xbd" "A\xef\xbf\xbd\xf0\x9f\x98\x80\xef\xbf\xbd",
      .flags = "" },

    { .title = "lines: names in escapes, and others",
      .form = LINES,
      .body = ngx_string("{\"messag\\u0065\":{\"c\\u006fntent\":\"a\","
                         "\"Content\":\"b\",\"content \":\"c\",\"x\":{"
                         "\"content\":\"d\"}},\"content\":\"e\","
                         "\"messages\":{\"content\":\"f\"}}\n"),
      .content = "a", .flags = "" },

    { .title = "lines: the content is no string",
      .form = LINES,
      .body = ngx_string("{\"message\":{\"content\":[\"a\"],\"thinking\":{"
                         "\"content\":\"b\"}},\"model\":null,\"x\":\"c\"}\n"
                         "{\"message\":{\"content\":1,\"thinking\":true},"
                         "\"done_reason\":[[\"d\"]]}\n"
                         "{\"message\":[{\"content\":\"e\"}]}\n"
                         "{\"message\":\"f\",\"tool_calls\":[{}]}\n"),
      .flags = "" },

    { .title = "lines: of the same name the last one counts",
      .form = LINES,
      .body = ngx_string("{\"message\":{\"content\":\"a\"}}\n"
                         "{\"message\":{\"content\":\"b\",\"content\":\"c\","
                         "\"content\":null,\"tool_calls\":[{\"a\":1}],"
                         "\"tool_calls\":[{\"b\":1}]},\"model\":\"x\","
                         "\"model\":\"y\"}\n{\"model\":\"z\"}\n"),
      .content = "ac", .tools = "[{\"b\":1}]", .model = "y", .flags = "" },

    { .title = "lines: tool calls in one frame and in several",
      .form = LINES,
      .body = ngx_string(CALLS("[" TOOL_1 "]") CALLS("[ " TOOL_2 ", "
                         TOOL_1 "]") CALLS("[]") CALLS("null")),
      .tools = "[" TOOL_1 "," TOOL_2 "," TOOL_1 "]", .flags = "" },

    { .title = "lines: tool calls that are none",
      .form = LINES,
      .body = ngx_string(CALLS("[1,\"a\",null,[{}],{},{},{\"x\":[{}]},true]")
                         CALLS("{\"a\":{}}")),
      .tools = "[{},{},{\"x\":[{}]}]", .flags = "" },

    { .title = "lines: no object follows",
      .form = LINES,
      .body = ngx_string(CHAT_1 "oops\n" CHAT_3 "}\n"),
      .content = "The", .model = "m:1b", .flags = "failed" },

    { .title = "lines: an object in two lines",
      .form = LINES,
      .body = ngx_string(CHAT_1 "{\"message\":{\"content\":\"x\"\n}}\n"),
      .content = "The", .model = "m:1b", .flags = "failed" },

    { .title = "lines: two objects in a line",
      .form = LINES,
      .body = ngx_string("{\"message\":{\"content\":\"x\"}} {\"message\":{"
                         "\"content\":\"y\"}}\n"),
      .content = "x", .flags = "failed" },

    { .title = "lines: bad UTF-8 in the content",
      .form = LINES,
      .body = ngx_string(CHAT_1 "{\"model\":\"n\",\"message\":{\"content\":"
                         "\"abc\xff" "def\"}}\n"),
      .content = "The", .model = "m:1b", .flags = "failed" },

    { .title = "lines: a bad escape in the content",
      .form = LINES,
      .body = ngx_string("{\"model\":\"n\",\"message\":{\"content\":"
                         "\"abc\\u12g4def\"}}\n"),
      .flags = "failed" },

    { .title = "lines: a key and no colon",
      .form = LINES,
      .body = ngx_string("{\"message\":{\"content\" \"abc\"}}\n"),
      .flags = "failed" },

    { .title = "lines: a number and a string",
      .form = LINES,
      .body = ngx_string("{\"message\":{\"content\":5\"abc\"}}\n"),
      .flags = "failed" },

    { .title = "lines: bare values",
      .form = LINES, .body = ngx_string("\"a\"\n"), .flags = "failed" },

    { .title = "lines: behind the end all is ignored",
      .form = LINES,
      .body = ngx_string("{\"done\":true}{\"message\":{\"content\":\"x\"}}\n"
                         "\xff{\"message\":{\"content\":\"x\"}}\n"),
      .flags = "last over", .close = AFTER("{\"done\":true") },

    { .title = "lines: done, and no longer",
      .form = LINES,
      .body = ngx_string("{\"done\":true,\"done\":false}\n"
                         "{\"x\":{\"done\":true}}\n"),
      .flags = "" },

    { .title = "lines: up to the limit",
      .form = LINES, .max = 8,
      .body = ngx_string("{\"message\":{\"content\":\"abcd\",\"thinking\":"
                         "\"ef\"}}\n{\"message\":{\"content\":\"gh\"}}\n"
                         "{\"message\":{\"content\":\"\"}}\n"),
      .content = "abcdgh", .thinking = "ef", .flags = "" },

    { .title = "lines: beyond the limit",
      .form = LINES, .max = 8,
      .body = ngx_string("{\"message\":{\"content\":\"abcdef\"}}\n"
                         "{\"message\":{\"content\":\"gh\xc3\xa9i\"}}\n"
                         "{\"message\":{\"content\":\"j\",\"thinking\":\"k\","
                         "\"tool_calls\":[{}]},\"model\":\"m\",\"done\":true,"
                         "\"done_reason\":\"stop\",\"eval_count\":5}\n"),
      .content = "abcdefgh", .reason = "stop", .model = "m",
      .stats = "{\"eval_count\":5}", .flags = "last over truncated",
      .open = AFTER("{\"message\":{\"content\":\"abcdef\"}}\n"
                    "{\"message\":{\"content\":\"gh\xc3\xa9i\"}}\n"),
      .close = AFTER("{\"message\":{\"content\":\"abcdef\"}}\n"
                     "{\"message\":{\"content\":\"gh\xc3\xa9i\"}}\n"
                     "{\"message\":{\"content\":\"j\",\"thinking\":\"k\","
                     "\"tool_calls\":[{}]},\"model\":\"m\",\"done\":true,"
                     "\"done_reason\":\"stop\",\"eval_count\":5") },

    { .title = "lines: the limit within a character",
      .form = LINES, .max = 5,
      .body = ngx_string("{\"message\":{\"content\":\"ab\xf0\x9f\x98\x80\"}}"
                         "\n{\"message\":{\"content\":\"c\"}}\n"),
      .content = "ab", .flags = "truncated" },

    { .title = "lines: the limit within an escaped character",
      .form = LINES, .max = 5,
      .body = ngx_string("{\"message\":{\"content\":\"ab\\ud83d\\ude00c\"}}"
                         "\n{\"message\":{\"content\":\"d\"}}\n"),
      .content = "ab", .flags = "truncated" },

    { .title = "lines: the limit within a tool call",
      .form = LINES, .max = 10,
      .body = ngx_string(CALLS("[{\"a\":1},{\"b\":2}]") CALLS("[{}]")),
      .tools = "[{\"a\":1}]", .flags = "truncated" },

    { .title = "lines: the limit in a frame that goes",
      .form = LINES, .max = 4,
      .body = ngx_string("{\"message\":{\"content\":\"abc\"}}\n"
                         "{\"message\":{\"content\":\"defg\"},\n"),
      .content = "abc", .flags = "failed" },

    { .title = "lines: a limit of nothing",
      .form = LINES, .max = (size_t) -1,
      .body = ngx_string("{\"message\":{\"content\":\"\xc3\xa9\"}}\n"
                         "{\"model\":\"m\"}\n"),
      .model = "m", .flags = "truncated" },

    { .title = "object: a chat",
      .form = OBJECT,
      .body = ngx_string("\n" CHAT_3 "\n}\n "),
      .content = " end", .reason = "stop", .model = "m:1b", .stats = STATS,
      .flags = "last over", .open = 1, .close = AFTER("\n" CHAT_3 "\n") },

    { .title = "object: over several lines",
      .form = OBJECT,
      .body = ngx_string("{\n  \"message\": {\n\"content\"\n:\n\"a\",\n"
                         "\"tool_calls\":[\n{\"a\":\n1}\n]\n}\n}"),
      .content = "a", .tools = "[{\"a\":\n1}]", .flags = "last over",
      .close = AFTER("{\n  \"message\": {\n\"content\"\n:\n\"a\",\n"
                     "\"tool_calls\":[\n{\"a\":\n1}\n]\n}\n") },

    { .title = "object: cut",
      .form = OBJECT, .body = ngx_string(CHAT_3), .flags = "" },

    { .title = "object: a page",
      .form = OBJECT, .body = ngx_string("<html>"), .flags = "failed" },


    /* /v1/chat/completions */

    { .title = "events: a chat",
      .form = EVENTS,
      .body = ngx_string(CHUNK("\"role\":\"assistant\",\"content\":\"The\"")
                         CHUNK("\"content\":\"\",\"reasoning\":\"so\"")
                         CHUNK("\"content\":null,\"reasoning_content\":\".\"")
                         CHUNK("\"content\":\" end\"")
                         FINISH("stop") "}\n\n" USAGE MARK),
      .content = "The end", .thinking = "so.", .reason = "stop", .model = "m",
      .stats = "{\"prompt_eval_count\":26,\"eval_count\":298}",
      .flags = "last over",
      .open = AFTER(CHUNK("\"role\":\"assistant\",\"content\":\"The\"")
                    CHUNK("\"content\":\"\",\"reasoning\":\"so\"")
                    CHUNK("\"content\":null,\"reasoning_content\":\".\"")
                    CHUNK("\"content\":\" end\"") "data: "),
      .close = AFTER(CHUNK("\"role\":\"assistant\",\"content\":\"The\"")
                     CHUNK("\"content\":\"\",\"reasoning\":\"so\"")
                     CHUNK("\"content\":null,\"reasoning_content\":\".\"")
                     CHUNK("\"content\":\" end\"") FINISH("stop")) },

    { .title = "events: comments, other fields, carriage returns",
      .form = EVENTS,
      .body = ngx_string(": data: {\"a\"\r\n\r\nevent: data:\r\nid: 1\r\n"
                         "dat: {\ndatax: {\nda\ndata:\ndata: \n"
                         "data:" "{\"choices\":[{\"delta\":{\"content\":"
                         "\"x\"}}]}\r\n\r\ndata:  {\"model\":\"m\"}\n"),
      .content = "x", .model = "m", .flags = "" },

    { .title = "events: behind the mark all is ignored",
      .form = EVENTS,
      .body = ngx_string(MARK CHUNK("\"content\":\"x\"") "data: oops\n"),
      .flags = "over" },

    { .title = "events: the first choice only",
      .form = EVENTS,
      .body = ngx_string("data: {\"choices\":[{\"delta\":{\"content\":\"a\"}},"
                         "{\"delta\":{\"content\":\"b\"},\"finish_reason\":"
                         "\"stop\"}]}\n\ndata: {\"model\":\"m\",\"choices\":["
                         "{\"delta\":{\"content\":\"c\",\"reasoning\":\"d\","
                         "\"tool_calls\":[{\"function\":{\"name\":\"n\"}}]},"
                         "\"finish_reason\":\"stop\",\"index\":1}]}\n\n"
                         CHUNK("\"content\":\"e\"")),
      .content = "ae", .model = "m", .flags = "" },

    { .title = "events: an error",
      .form = EVENTS,
      .body = ngx_string(CHUNK("\"content\":\"x\"")
                         "data: {\"error\":{\"message\":\"y\"}}\n\n"),
      .content = "x", .model = "m", .flags = "" },

    { .title = "events: no object follows",
      .form = EVENTS,
      .body = ngx_string(CHUNK("\"content\":\"x\"") "data: oops\n\n" MARK),
      .content = "x", .model = "m", .flags = "failed" },

    { .title = "events: an object in several lines",
      .form = EVENTS,
      .body = ngx_string("data: {\"choices\":\ndata: [{\"delta\"\n: y\n"
                         "data\nx\ndata::\rdata: {\"content\":\"x\"}}]}\r\n\n"
                         CHUNK("\"content\":\"y\"")
                         "data: {\"choices\":[{\"finish_reason\":\"stop\"\n"
                         "data: }]\ndata: }\n\n"),
      .content = "xy", .model = "m", .reason = "stop", .flags = "last",
      .open = AFTER("data: {\"choices\":\ndata: [{\"delta\"\n: y\n"
                    "data\nx\ndata::\rdata: {\"content\":\"x\"}}]}\r\n\n"
                    CHUNK("\"content\":\"y\"") "data: "),
      .close = AFTER("data: {\"choices\":\ndata: [{\"delta\"\n: y\n"
                     "data\nx\ndata::\rdata: {\"content\":\"x\"}}]}\r\n\n"
                     CHUNK("\"content\":\"y\"")
                     "data: {\"choices\":[{\"finish_reason\":\"stop\"\n"
                     "data: }]\ndata: ") },

    { .title = "events: an object that its event cuts",
      .form = EVENTS,
      .body = ngx_string(CHUNK("\"content\":\"x\"")
                         "data: {\"choices\":\n\ndata: []}\n\n"),
      .content = "x", .model = "m", .flags = "failed" },

    { .title = "events: a text over two lines",
      .form = EVENTS,
      .body = ngx_string("data: {\"choices\":[{\"delta\":{\"content\":\"x\n"
                         "data: y\"}}]}\n\n"),
      .flags = "failed" },

    { .title = "events: several objects in an event",
      .form = EVENTS,
      .body = ngx_string("data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}"
                         "\ndata: {\"choices\":[{\"delta\":{\"content\":\"y\"}}"
                         "]}\n" MARK),
      .content = "xy", .flags = "over" },

    { .title = "events: a byte order mark, and lines that end with CR",
      .form = EVENTS,
      .body = ngx_string("\xef\xbb\xbf" "data: {\"choices\":[{\"delta\":{"
                         "\"content\":\"x\"}}]}\r\rdata:{\"choices\":[{\"delta"
                         "\":{\"content\":\"y\"}}]}\r\rdata: [DONE]\r\r"),
      .content = "xy", .flags = "over" },

    { .title = "events: tool calls as Ollama has them",
      .form = EVENTS,
      .body = ngx_string(CHUNK("\"content\":\"\",\"tool_calls\":[{\"id\":"
                         "\"call_1\",\"index\":0,\"type\":\"function\","
                         "\"function\":{\"name\":\"f\",\"arguments\":"
                         "\"{\\\"a\\\":\\\"\\u00e9\\\"}\"}},{\"id\":"
                         "\"call_2\",\"index\":0,\"type\":\"function\","
                         "\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}"
                         "}]") FINISH("tool_calls") "}\n\n"),
      .model = "m", .reason = "tool_calls", .flags = "last",
      .tools = "[" CALL("call_1", "f", "{\\\"a\\\":\\\"\xc3\xa9\\\"}") ","
               CALL("call_2", "g", "{}") "]",
      .open = AFTER(CHUNK("\"content\":\"\",\"tool_calls\":[{\"id\":"
                    "\"call_1\",\"index\":0,\"type\":\"function\","
                    "\"function\":{\"name\":\"f\",\"arguments\":"
                    "\"{\\\"a\\\":\\\"\\u00e9\\\"}\"}},{\"id\":"
                    "\"call_2\",\"index\":0,\"type\":\"function\","
                    "\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}"
                    "}]") "data: "),
      .close = AFTER(CHUNK("\"content\":\"\",\"tool_calls\":[{\"id\":"
                     "\"call_1\",\"index\":0,\"type\":\"function\","
                     "\"function\":{\"name\":\"f\",\"arguments\":"
                     "\"{\\\"a\\\":\\\"\\u00e9\\\"}\"}},{\"id\":"
                     "\"call_2\",\"index\":0,\"type\":\"function\","
                     "\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}"
                     "}]") FINISH("tool_calls")) },

    { .title = "events: tool calls in parts, in any order",
      .form = EVENTS,
      .body = ngx_string(PART("0", NAMED("a", "f")) PART("1", NAMED("b", "g"))
                         PART("0", ARGS("{\\\"x\\\"")) PART("1", ARGS("{"))
                         PART("0", "\"id\":\"a\"," ARGS(":1"))
                         PART("1", ARGS("}\\n")) PART("0", ARGS("}"))),
      .model = "m", .flags = "",
      .tools = "[" CALL("a", "f", "{\\\"x\\\":1}") ","
               CALL("b", "g", "{}\\n") "]" },

    { .title = "events: several parts in a frame",
      .form = EVENTS,
      .body = ngx_string(CHUNK("\"tool_calls\":[{\"function\":{\"arguments\":"
                         "\"{\",\"name\":\"f\"},\"id\":\"a\"},{\"index\":0,"
                         ARGS("\\\"x\\\":") "},{" ARGS("2") "},1,null]")
                         PART("0", ARGS("}"))),
      .model = "m", .flags = "",
      .tools = "[" CALL("a", "f", "{\\\"x\\\":2}") "]" },

    { .title = "events: of tool calls told twice the last ones count",
      .form = EVENTS, .max = 7,
      .body = ngx_string(CHUNK("\"tool_calls\":[{" NAMED("abc", "f") "}],"
                         "\"tool_calls\":[]")
                         PART("0", NAMED("bcd", "gh")) PART("0", ARGS("{}"))),
      .model = "m", .flags = "", .tools = "[" CALL("bcd", "gh", "{}") "]" },

    { .title = "events: a tool call that broke off",
      .form = EVENTS,
      .body = ngx_string(PART("0", NAMED("a", "f")) PART("0", ARGS("{}"))
                         PART("1", NAMED("b", "g")) PART("1", ARGS("{\\\"x"))
                         PART("2", NAMED("c", "h"))),
      .model = "m", .flags = "", .tools = "[" CALL("a", "f", "{}") "]" },

    { .title = "events: tool calls whose arguments are no object",
      .form = EVENTS,
      .body = ngx_string(PART("0", NAMED("a", "f")) PART("0", ARGS("[]"))
                         PART("1", NAMED("b", "g")) PART("1", ARGS("{} x"))
                         PART("2", NAMED("c", "h")) PART("2", ARGS(" \\n"))
                         PART("3", NAMED("d", "")) PART("3", ARGS("{}"))),
      .model = "m", .flags = "" },

    { .title = "events: a tool call without arguments",
      .form = EVENTS,
      .body = ngx_string(PART("5", NAMED("", "f")) FINISH("tool_calls") "}\n"),
      .model = "m", .reason = "tool_calls", .flags = "last",
      .tools = "[" CALL("", "f", "{}") "]",
      .open = AFTER(PART("5", NAMED("", "f")) "data: "),
      .close = AFTER(PART("5", NAMED("", "f")) FINISH("tool_calls")) },

    { .title = "events: the limit within arguments",
      .form = EVENTS, .max = 12,
      .body = ngx_string(PART("0", NAMED("a", "f")) PART("0", ARGS("{}"))
                         PART("1", NAMED("b", "g")) PART("1", ARGS("{\\\"xy"))
                         PART("1", ARGS("\\\":1}")) FINISH("stop") "}\n"),
      .model = "m", .reason = "stop", .flags = "last truncated",
      .tools = "[" CALL("a", "f", "{}") "]",
      .open = AFTER(PART("0", NAMED("a", "f")) PART("0", ARGS("{}"))
                    PART("1", NAMED("b", "g")) PART("1", ARGS("{\\\"xy"))
                    PART("1", ARGS("\\\":1}")) "data: "),
      .close = AFTER(PART("0", NAMED("a", "f")) PART("0", ARGS("{}"))
                     PART("1", NAMED("b", "g")) PART("1", ARGS("{\\\"xy"))
                     PART("1", ARGS("\\\":1}")) FINISH("stop")) },

    { .title = "events: the limit in front of arguments",
      .form = EVENTS, .max = 3,
      .body = ngx_string(PART("0", NAMED("ab", "f")) PART("0", ARGS("{}"))
                         FINISH("stop") "}\n"),
      .model = "m", .reason = "stop", .flags = "last truncated",
      .open = AFTER(PART("0", NAMED("ab", "f")) PART("0", ARGS("{}"))
                    "data: "),
      .close = AFTER(PART("0", NAMED("ab", "f")) PART("0", ARGS("{}"))
                     FINISH("stop")) },

    { .title = "completion: an answer",
      .form = COMPLETION,
      .body = ngx_string(ANSWER "}"),
      .content = "Hi", .thinking = "hm", .reason = "tool_calls", .model = "m",
      .tools = "[" CALL("c", "f", "{}") "]",
      .stats = "{\"prompt_eval_count\":1,\"eval_count\":2}",
      .flags = "last over", .close = AFTER(ANSWER) },

    { .title = "completion: content null",
      .form = COMPLETION,
      .body = ngx_string("{\"choices\":[{\"message\":{\"content\":null}}]}"),
      .flags = "last over",
      .close = AFTER("{\"choices\":[{\"message\":{\"content\":null}}]") },
};


static void
capture_start(ngx_http_ollama_capture_t *capture, ngx_pool_t **pool,
    capture_case_t *c)
{
    size_t  max;

    *pool = ngx_create_pool(4096, NULL);
    assert_non_null(*pool);

    ngx_memzero(capture, sizeof(ngx_http_ollama_capture_t));

    max = (c->max == (size_t) -1) ? 0 : c->max ? c->max : MAX;

    assert_int_equal(ngx_http_ollama_capture_init(capture, *pool, c->form, max),
                     NGX_OK);
}


/* Feeds a copy that lasts no longer than the call. */

static void
capture_feed(ngx_http_ollama_capture_t *capture, u_char *p, size_t size)
{
    u_char  *piece;

    piece = malloc(size ? size : 1);
    assert_non_null(piece);

    if (size) {
        memcpy(piece, p, size);
    }

    ngx_http_ollama_capture_feed(capture, piece, size);

    assert_memory_equal(piece, p, size);
    free(piece);
}


static void
capture_feed_all(ngx_http_ollama_capture_t *capture, u_char *p, size_t len,
    size_t first, size_t step)
{
    size_t  n, done;

    for (n = first, done = 0; done < len; done += n, n = step) {
        n = ngx_min(n, len - done);
        capture_feed(capture, p + done, n);
    }

    assert_int_equal(capture->pos, len);
}


static const char *
capture_flags(ngx_http_ollama_capture_t *capture)
{
    static char  flags[64];

    (void) snprintf(flags, sizeof(flags), "%s%s%s%s",
                    capture->last ? " last" : "", capture->over ? " over" : "",
                    capture->truncated ? " truncated" : "",
                    capture->failed ? " failed" : "");

    return flags[0] ? flags + 1 : "";
}


static void
capture_check_text(const char *pieces, const char *name, ngx_str_t *got,
    const char *want)
{
    if (want == NULL) {
        want = "";
    }

    if (got->len != strlen(want)
        || (got->len && memcmp(got->data, want, got->len) != 0))
    {
        fail_msg("%s: %s is \"%.*s\", not \"%s\"", pieces, name,
                 (int) got->len, got->len ? (char *) got->data : "", want);
    }
}


/* The message, put together from the parts that were wanted. */

static void
capture_check_message(ngx_http_ollama_capture_t *capture, ngx_pool_t *pool,
    capture_case_t *c, const char *pieces)
{
    u_char     *p, *want;
    size_t      len;
    ngx_str_t   text, content;

    content.data = (u_char *) (c->content ? c->content : "");
    content.len = strlen((char *) content.data);

    len = 6 * content.len + (c->tools ? strlen(c->tools) : 0) + 128;

    want = malloc(len);
    assert_non_null(want);

    p = want + sprintf((char *) want,
                       "{\"role\":\"assistant\",\"content\":\"");
    p = (u_char *) ngx_escape_json(p, content.data, content.len);

    (void) sprintf((char *) p, "\"%s%s}", c->tools ? ",\"tool_calls\":" : "",
                   c->tools ? c->tools : "");

    assert_int_equal(ngx_http_ollama_capture_message(capture, pool, &text),
                     NGX_OK);
    capture_check_text(pieces, "message", &text, (char *) want);

    free(want);
}


static void
capture_check(capture_case_t *c, size_t first, size_t step)
{
    char                       pieces[64];
    ngx_str_t                  text;
    ngx_pool_t                *pool;
    ngx_http_ollama_capture_t  capture;

    static const char *names[] = {
        "content", "thinking", "tools", "reason", "model"
    };

    const char *want[] = {
        c->content, c->thinking, NULL, c->reason, c->model
    };

    ngx_uint_t  i;

    (void) snprintf(pieces, sizeof(pieces), "%d, then %d bytes each",
                    (int) first, (int) step);

    capture_start(&capture, &pool, c);
    capture_feed_all(&capture, c->body.data, c->body.len, first, step);

    if (strcmp(capture_flags(&capture), c->flags) != 0) {
        fail_msg("%s: \"%s\", not \"%s\"", pieces, capture_flags(&capture),
                 c->flags);
    }

    ngx_http_ollama_capture_end(&capture);
    ngx_http_ollama_capture_end(&capture);

    for (i = 0; i < NGX_HTTP_OLLAMA_CAPTURE_TEXTS; i++) {
        if (i != NGX_HTTP_OLLAMA_CAPTURE_TOOLS) {
            capture_check_text(pieces, names[i], &capture.text[i].str, want[i]);
        }
    }

    assert_int_equal(ngx_http_ollama_capture_tools(&capture, pool, &text),
                     NGX_OK);
    capture_check_text(pieces, "tools", &text, c->tools);

    assert_int_equal(ngx_http_ollama_capture_stats(&capture, pool, &text),
                     NGX_OK);
    capture_check_text(pieces, "stats", &text, c->stats ? c->stats : "");

    capture_check_message(&capture, pool, c, pieces);

    if (capture.open != (off_t) c->open || capture.close != (off_t) c->close) {
        fail_msg("%s: the last object is at %d to %d, not at %d to %d",
                 pieces, (int) capture.open, (int) capture.close, (int) c->open,
                 (int) c->close);
    }

    ngx_destroy_pool(pool);
}


/*
 * The reply breaks off: what was found is the beginning of what the whole one
 * has, and the same in any pieces.
 */

static void
capture_check_cut_off(capture_case_t *c, size_t len)
{
    ngx_str_t                  one, bytes;
    ngx_str_t                 *content;
    ngx_pool_t                *pool, *pool2;
    ngx_http_ollama_capture_t  capture, other;

    capture_start(&capture, &pool, c);
    capture_feed_all(&capture, c->body.data, len, len, 1);
    ngx_http_ollama_capture_end(&capture);

    capture_start(&other, &pool2, c);
    capture_feed_all(&other, c->body.data, len, 1, 1);
    ngx_http_ollama_capture_end(&other);

    assert_int_equal(ngx_http_ollama_capture_message(&capture, pool, &one),
                     NGX_OK);
    assert_int_equal(ngx_http_ollama_capture_message(&other, pool2, &bytes),
                     NGX_OK);

    if (one.len != bytes.len || memcmp(one.data, bytes.data, one.len) != 0) {
        fail_msg("cut off after %d bytes: %.*s, %.*s", (int) len,
                 (int) one.len, one.data, (int) bytes.len, bytes.data);
    }

    content = &capture.text[NGX_HTTP_OLLAMA_CAPTURE_CONTENT].str;

    if (content->len
        && (c->content == NULL
            || content->len > strlen(c->content)
            || memcmp(content->data, c->content, content->len) != 0))
    {
        fail_msg("cut off after %d bytes: \"%.*s\"", (int) len,
                 (int) content->len, content->data);
    }

    ngx_destroy_pool(pool2);
    ngx_destroy_pool(pool);
}


static void
capture_case_test(void **state)
{
    capture_case_t *c = *state;

    size_t      i;
    ngx_uint_t  pools;

    pools = ngx_stub_pools;

    capture_check(c, c->body.len, 1);
    capture_check(c, 1, 1);
    capture_check(c, 0, 3);

    for (i = 0; i < c->body.len; i++) {
        capture_check(c, i, c->body.len);
        capture_check(c, i, 1);
    }

    for (i = 0; i <= c->body.len; i++) {
        capture_check_cut_off(c, i);
    }

    assert_int_equal(ngx_stub_pools, pools);
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_add_rows(&suite, capture_case_test, capture_cases,
                  sizeof(capture_case_t), unit_nelts(capture_cases));

    return unit_run(&suite, "capture");
}
