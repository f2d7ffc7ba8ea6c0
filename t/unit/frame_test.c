
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The parser of replies: frames, tokens, what is complete and what isn't,
 * and where something stands that is no frame.  The same must come out
 * however the network has cut the reply; and no beginning of a reply may look
 * like a finished one.
 */


#include "unit.h"

#include "reply/ngx_http_ollama_frame.h"


#define LINES   NGX_HTTP_OLLAMA_FRAME_LINES
#define SSE     NGX_HTTP_OLLAMA_FRAME_SSE
#define WHOLE   NGX_HTTP_OLLAMA_FRAME_WHOLE

#define OBJECT  NGX_HTTP_OLLAMA_END_OBJECT
#define DONE    NGX_HTTP_OLLAMA_END_DONE
#define MARK    NGX_HTTP_OLLAMA_END_MARK
#define RESPONSE  NGX_HTTP_OLLAMA_END_RESPONSE
#define MESSAGE   NGX_HTTP_OLLAMA_END_MESSAGE

/* the length of the part of a reply in front of something */
#define AFTER(text)  (sizeof(text) - 1)

/* what the parser may take from a pool, whatever the reply is */
#define MEMORY  (16 * 1024)


typedef struct {
    const char                    *title;    /* must be first */
    ngx_http_ollama_frame_form_e   form;
    ngx_http_ollama_frame_end_e    last;
    ngx_str_t                      body;

    ngx_uint_t                     frames;
    const char                    *tokens;   /* NULL: "-1 -1" */
    const char                    *flags;    /* "done error line event" */

    /* the reply is complete after so many bytes; 0: never */
    size_t                         done;

    /*
     * what is no frame: all is well up to byte "good", where the last line
     * begins, and byte "bad" shows that it isn't
     */
    size_t                         good;
    size_t                         bad;
    ngx_uint_t                     declined;
} frame_case_t;


typedef struct {
    const char                    *title;
    ngx_http_ollama_frame_form_e   form;
    ngx_http_ollama_frame_end_e    last;
    const char                    *before;
    const char                    *unit;
    size_t                         size;
    const char                    *after;
    ngx_uint_t                     frames;
    ngx_uint_t                     done;
} frame_huge_t;


/* what Ollama, OpenAI's and Anthropic's ways of saying it look like */

#define CHAT_1  "{\"model\":\"m\",\"created_at\":\"2026-11-23T00:00:00.5Z\","  \
                "\"message\":{\"role\":\"assistant\",\"content\":\"The\"},"   \
                "\"done\":false}"
#define CHAT_2  "{\"model\":\"m\",\"message\":{\"role\":\"assistant\","       \
                "\"content\":\"\",\"thinking\":\"so {\\\"done\\\":true}\"},"  \
                "\"done\":false}"
#define CHAT_3  "{\"model\":\"m\",\"message\":{\"role\":\"assistant\","       \
                "\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\","   \
                "\"total_duration\":5191566416,\"load_duration\":2154458,"    \
                "\"prompt_eval_count\":26,\"prompt_eval_duration\":383809000," \
                "\"eval_count\":298,\"eval_duration\":4799921000}"

#define CHUNK_1  "data: {\"id\":\"chatcmpl-1\",\"object\":"                   \
                 "\"chat.completion.chunk\",\"choices\":[{\"index\":0,"       \
                 "\"delta\":{\"role\":\"assistant\",\"content\":\"The\"},"    \
                 "\"finish_reason\":null}]}\n\n"
#define CHUNK_2  "data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"index\":0,"    \
                 "\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
#define CHUNK_3  "data: {\"id\":\"chatcmpl-1\",\"choices\":[],\"usage\":"     \
                 "{\"prompt_tokens\":26,\"completion_tokens\":298,"           \
                 "\"total_tokens\":324}}\n\n"

#define EVENT_1  "event: response.created\n"                                  \
                 "data: {\"type\":\"response.created\",\"response\":"         \
                 "{\"id\":\"resp_1\",\"status\":\"in_progress\",\"error\":"   \
                 "null,\"usage\":null}}\n\n"
#define EVENT_2  "event: response.output_text.delta\n"                        \
                 "data: {\"type\":\"response.output_text.delta\",\"delta\":"  \
                 "\"The\"}\n\n"
#define EVENT_3(name)                                                         \
                 "event: response." name "\n"                                 \
                 "data: {\"type\":\"response." name "\",\"response\":"        \
                 "{\"id\":\"resp_1\",\"usage\":{\"input_tokens\":26,"         \
                 "\"input_tokens_details\":{\"cached_tokens\":1},"            \
                 "\"output_tokens\":298,\"total_tokens\":324}}}"

#define MESSAGE_1  "event: message_start\n"                                   \
                   "data: {\"type\":\"message_start\",\"message\":{\"id\":"   \
                   "\"msg_1\",\"content\":[],\"usage\":{\"input_tokens\":26," \
                   "\"output_tokens\":1}}}\n\n"
#define MESSAGE_2  "event: content_block_delta\n"                             \
                   "data: {\"type\":\"content_block_delta\",\"index\":0,"     \
                   "\"delta\":{\"type\":\"text_delta\",\"text\":\"The\"}}\n\n"
#define MESSAGE_3  "event: message_delta\n"                                   \
                   "data: {\"type\":\"message_delta\",\"delta\":{"            \
                   "\"stop_reason\":\"end_turn\"},\"usage\":{"                \
                   "\"output_tokens\":298}}\n\n"
#define MESSAGE_4  "event: message_stop\n"                                    \
                   "data: {\"type\":\"message_stop\"}"


static frame_case_t  frame_cases[] = {

    /* NDJSON */

    { .title = "lines: a chat",
      .form = LINES, .last = DONE,
      .body = ngx_string(CHAT_1 "\n" CHAT_2 "\n" CHAT_3 "\n"),
      .frames = 3, .tokens = "26 298", .flags = "done",
      .done = AFTER(CHAT_1 "\n" CHAT_2 "\n" CHAT_3) },

    { .title = "lines: the last one without its newline",
      .form = LINES, .last = DONE,
      .body = ngx_string(CHAT_1 "\n" CHAT_3),
      .frames = 2, .tokens = "26 298", .flags = "done line",
      .done = AFTER(CHAT_1 "\n" CHAT_3) },

    { .title = "lines: not finished",
      .form = LINES, .last = DONE,
      .body = ngx_string(CHAT_1 "\n" CHAT_2 "\n"),
      .frames = 2, .flags = "" },

    { .title = "lines: cut in the middle of the last",
      .form = LINES, .last = DONE,
      .body = ngx_string(CHAT_1 "\n{\"done\":true,\"eval_count\":1"),
      .frames = 1, .flags = "line" },

    { .title = "lines: nothing",
      .form = LINES, .last = DONE,
      .body = ngx_string(""),
      .frames = 0, .flags = "" },

    { .title = "lines: with carriage returns",
      .form = LINES, .last = DONE,
      .body = ngx_string("{\"done\":false}\r\n{\"done\":true}\r\n"),
      .frames = 2, .flags = "done",
      .done = AFTER("{\"done\":false}\r\n{\"done\":true}") },

    { .title = "lines: with blanks around",
      .form = LINES, .last = DONE,
      .body = ngx_string(" \t{ \"done\" : false } \n  { \"done\" : true }\t\n"),
      .frames = 2, .flags = "done",
      .done = AFTER(" \t{ \"done\" : false } \n  { \"done\" : true }") },

    { .title = "lines: with empty lines between",
      .form = LINES, .last = DONE,
      .body = ngx_string("\n{\"done\":false}\n\n\r\n{\"done\":true}\n\n"),
      .frames = 2, .flags = "done",
      .done = AFTER("\n{\"done\":false}\n\n\r\n{\"done\":true}") },

    { .title = "lines: done first, then the counts",
      .form = LINES, .last = DONE,
      .body = ngx_string("{\"done\":true,\"message\":{\"content\":\"x\"},"
                         "\"eval_count\":0,\"prompt_eval_count\":7}\n"),
      .frames = 1, .tokens = "7 0", .flags = "done",
      .done = AFTER("{\"done\":true,\"message\":{\"content\":\"x\"},"
                    "\"eval_count\":0,\"prompt_eval_count\":7}") },

    { .title = "lines: done, and no longer",
      .form = LINES, .last = DONE,
      .body = ngx_string("{\"done\":true,\"done\":false}\n"),
      .frames = 1, .flags = "" },

    { .title = "lines: done, but not as a boolean",
      .form = LINES, .last = DONE,
      .body = ngx_string("{\"done\":\"true\"}\n{\"done\":1}\n{\"done\":null}\n"
                         "{\"done\":{\"done\":true}}\n{\"done\":[true]}\n"),
      .frames = 5, .flags = "" },

    { .title = "lines: done, but not by that name",
      .form = LINES, .last = DONE,
      .body = ngx_string("{\"Done\":true}\n{\"done \":true}\n{\"don\":true}\n"
                         "{\"done_reason\":true}\n{\"\":true}\n"),
      .frames = 5, .flags = "" },

    { .title = "lines: done by that name in escapes",
      .form = LINES, .last = DONE,
      .body = ngx_string("{\"d\\u006fne\":true}\n"),
      .frames = 1, .flags = "done",
      .done = AFTER("{\"d\\u006fne\":true}") },

    { .title = "lines: in the text everything may be said",
      .form = LINES, .last = DONE,
      .body = ngx_string("{\"message\":{\"content\":\"{\\\"done\\\":true}\\n"
                         "data: [DONE]\\n{\\\"error\\\":1}\"},\"done\":false}"
                         "\n"),
      .frames = 1, .flags = "" },

    { .title = "lines: in a message and in tool calls it is something else",
      .form = LINES, .last = DONE,
      .body = ngx_string("{\"message\":{\"done\":true,\"error\":\"x\","
                         "\"eval_count\":1,\"prompt_eval_count\":2,"
                         "\"tool_calls\":[{\"function\":{\"arguments\":{"
                         "\"done\":true,\"error\":1,\"eval_count\":3,\"usage\":"
                         "{\"prompt_tokens\":4,\"output_tokens\":5},\"message\""
                         ":{\"usage\":{\"input_tokens\":6}}}}},true,7]},"
                         "\"done\":false}\n"),
      .frames = 1, .flags = "" },

    { .title = "lines: nothing is left of an array or an object before",
      .form = LINES, .last = DONE,
      .body = ngx_string("{\"done\":[true,{\"done\":true},true],\"usage\":[1,{"
                         "\"prompt_tokens\":2},3],\"eval_count\":[4,[5],{}],"
                         "\"x\":[6,true],\"error\":null,\"y\":{\"z\":[7]}}\n"),
      .frames = 1, .flags = "" },

    { .title = "lines: numbers that are no counts",
      .form = LINES, .last = DONE,
      .body = ngx_string("{\"eval_count\":-5,\"prompt_eval_count\":1.5}\n"
                         "{\"eval_count\":1e9,\"prompt_eval_count\":1e999}\n"
                         "{\"eval_count\":99999999999999999999,"
                         "\"prompt_eval_count\":-99999999999999999999}\n"
                         "{\"eval_count\":9223372036854775807,"
                         "\"prompt_eval_count\":9223372036854775808}\n"
                         "{\"eval_count\":\"5\",\"prompt_eval_count\":true}\n"
                         "{\"eval_count\":0.1e-400,\"prompt_eval_count\":-0}\n"
                         "{\"eval_count\":null,\"prompt_eval_count\":null}\n"),
      .frames = 7, .flags = "" },

    { .title = "lines: the largest count",
      .form = LINES, .last = DONE,
      .body = ngx_string("{\"eval_count\":999999999999999,"
                         "\"prompt_eval_count\":1000000000000000}\n"),
      .frames = 1, .tokens = "-1 999999999999999", .flags = "" },

    { .title = "lines: a number that is no count leaves the one before",
      .form = LINES, .last = DONE,
      .body = ngx_string("{\"eval_count\":3,\"prompt_eval_count\":4}\n"
                         "{\"eval_count\":-1,\"prompt_eval_count\":1e3}\n"),
      .frames = 2, .tokens = "4 3", .flags = "" },

    { .title = "lines: an error in the middle",
      .form = LINES, .last = DONE,
      .body = ngx_string(CHAT_1 "\n{\"error\":\"model runner stopped\"}\n"),
      .frames = 2, .flags = "error" },

    { .title = "lines: an error that isn't the last word",
      .form = LINES, .last = DONE,
      .body = ngx_string("{\"error\":\"x\"}\n{\"done\":false}\n"),
      .frames = 2, .flags = "" },

    { .title = "lines: an error that is an object",
      .form = LINES, .last = DONE,
      .body = ngx_string("{\"error\":{\"done\":true,\"message\":\"x\"}}\n"),
      .frames = 1, .flags = "error" },

    { .title = "lines: no error",
      .form = LINES, .last = DONE,
      .body = ngx_string("{\"error\":null,\"done\":false}\n"
                         "{\"errors\":1,\"x\":{\"error\":2}}\n"),
      .frames = 2, .flags = "" },

    { .title = "lines: an error is none until it is told",
      .form = LINES, .last = DONE,
      .body = ngx_string("{\"done\":false}\n{\"error\":\"model run"),
      .frames = 1, .flags = "line" },

    { .title = "lines: a generation has its text in \"response\"",
      .form = LINES, .last = DONE,
      .body = ngx_string("{\"response\":\"The\",\"done\":false}\n"
                         "{\"response\":\"\",\"done\":true,\"context\":[1,2,3]"
                         ",\"eval_count\":5}\n"),
      .frames = 2, .tokens = "-1 5", .flags = "done",
      .done = AFTER("{\"response\":\"The\",\"done\":false}\n"
                    "{\"response\":\"\",\"done\":true,\"context\":[1,2,3]"
                    ",\"eval_count\":5}") },

    { .title = "lines: nothing comes after the end",
      .form = LINES, .last = DONE,
      .body = ngx_string("{\"done\":true,\"eval_count\":1}\n"
                         "{\"eval_count\":2,\"error\":1}\noops\n"),
      .frames = 1, .tokens = "-1 1", .flags = "done",
      .done = AFTER("{\"done\":true,\"eval_count\":1}"),
      .declined = 1, .good = AFTER("{\"done\":true,\"eval_count\":1}\n"),
      .bad = AFTER("{\"done\":true,\"eval_count\":1}\n") },

    { .title = "lines: empty lines may come after the end",
      .form = LINES, .last = DONE,
      .body = ngx_string("{\"done\":true}\n\r\n \n"),
      .frames = 1, .flags = "done",
      .done = AFTER("{\"done\":true}") },

    { .title = "lines: with a mark, done says nothing",
      .form = LINES, .last = MARK,
      .body = ngx_string("{\"done\":true}\n"),
      .frames = 1, .flags = "" },


    { .title = "lines: an array behind the end, cut off",
      .form = LINES, .last = DONE,
      .body = ngx_string("{}\n{\"done\":true} ["),
      .frames = 2, .declined = 1,
      .good = 3, .bad = AFTER("{}\n{\"done\":true} ") },

    { .title = "lines: garbage first",
      .form = LINES, .last = DONE,
      .body = ngx_string("oops\n"),
      .declined = 1 },

    { .title = "lines: a page",
      .form = LINES, .last = DONE,
      .body = ngx_string("<html>\n<head>\n"),
      .declined = 1 },

    { .title = "lines: a byte order mark",
      .form = LINES, .last = DONE,
      .body = ngx_string("\xef\xbb\xbf{\"done\":true}\n"),
      .declined = 1 },

    { .title = "lines: garbage later",
      .form = LINES, .last = DONE,
      .body = ngx_string(CHAT_1 "\n" CHAT_2 "\n  <html>"),
      .frames = 2, .declined = 1,
      .good = AFTER(CHAT_1 "\n" CHAT_2 "\n"),
      .bad = AFTER(CHAT_1 "\n" CHAT_2 "\n  ") },

    { .title = "lines: an array",
      .form = LINES, .last = DONE,
      .body = ngx_string("{}\n[{\"done\":true}]\n"),
      .frames = 1, .declined = 1, .good = 3, .bad = 3 },

    { .title = "lines: a string",
      .form = LINES, .last = DONE,
      .body = ngx_string("{}\n\"done\"\n"),
      .frames = 1, .declined = 1, .good = 3, .bad = 3 },

    { .title = "lines: a number",
      .form = LINES, .last = DONE,
      .body = ngx_string("{}\n42\n"),
      .frames = 1, .declined = 1, .good = 3, .bad = 3 },

    { .title = "lines: null",
      .form = LINES, .last = DONE,
      .body = ngx_string("{}\nnull\n"),
      .frames = 1, .declined = 1, .good = 3, .bad = 3 },

    { .title = "lines: a closing bracket",
      .form = LINES, .last = DONE,
      .body = ngx_string("{}\n}\n"),
      .frames = 1, .declined = 1, .good = 3, .bad = 3 },

    { .title = "lines: an event stream",
      .form = LINES, .last = DONE,
      .body = ngx_string("data: {\"done\":true}\n"),
      .declined = 1 },

    { .title = "lines: two objects in one",
      .form = LINES, .last = DONE,
      .body = ngx_string("{}\n{\"done\":false} {\"done\":true}\n"),
      .frames = 2, .declined = 1,
      .good = 3, .bad = AFTER("{}\n{\"done\":false} ") },

    { .title = "lines: two objects in one, without a gap",
      .form = LINES, .last = DONE,
      .body = ngx_string("{}\n{\"done\":true}{}\n"),
      .frames = 2, .declined = 1,
      .good = 3, .bad = AFTER("{}\n{\"done\":true}") },

    { .title = "lines: text behind the object",
      .form = LINES, .last = DONE,
      .body = ngx_string("{}\n{\"done\":true} x\n"),
      .frames = 2, .declined = 1,
      .good = 3, .bad = AFTER("{}\n{\"done\":true} ") },

    { .title = "lines: a number behind the object",
      .form = LINES, .last = DONE,
      .body = ngx_string("{}\n{\"done\":true} 1\n"),
      .frames = 2, .declined = 1,
      .good = 3, .bad = AFTER("{}\n{\"done\":true} ") },

    { .title = "lines: a string behind the object",
      .form = LINES, .last = DONE,
      .body = ngx_string("{}\n{\"done\":true} \"x\"\n"),
      .frames = 2, .declined = 1,
      .good = 3, .bad = AFTER("{}\n{\"done\":true} ") },

    { .title = "lines: a comma behind the object",
      .form = LINES, .last = DONE,
      .body = ngx_string("{}\n{\"done\":true},\n"),
      .frames = 2, .declined = 1,
      .good = 3, .bad = AFTER("{}\n{\"done\":true}") },

    { .title = "lines: a NUL behind the object",
      .form = LINES, .last = DONE,
      .body = ngx_string("{}\n{\"done\":true}\0\n"),
      .frames = 2, .declined = 1,
      .good = 3, .bad = AFTER("{}\n{\"done\":true}") },

    { .title = "lines: an object over two lines",
      .form = LINES, .last = DONE,
      .body = ngx_string("{}\n{\"done\":\ntrue}\n"),
      .frames = 1, .declined = 1,
      .good = 3, .bad = AFTER("{}\n{\"done\":") },

    { .title = "lines: an object over two lines, in a number",
      .form = LINES, .last = DONE,
      .body = ngx_string("{}\n{\"a\":12\n}\n"),
      .frames = 1, .declined = 1,
      .good = 3, .bad = AFTER("{}\n{\"a\":12") },

    { .title = "lines: a string over two lines",
      .form = LINES, .last = DONE,
      .body = ngx_string("{}\n{\"a\":\"b\nc\"}\n"),
      .frames = 1, .declined = 1,
      .good = 3, .bad = AFTER("{}\n{\"a\":\"b") },

    { .title = "lines: garbage in the middle",
      .form = LINES, .last = DONE,
      .body = ngx_string("{}\n{\"done\":true!}\n"),
      .frames = 1, .declined = 1,
      .good = 3, .bad = AFTER("{}\n{\"done\":true") },

    { .title = "lines: garbage in a key",
      .form = LINES, .last = DONE,
      .body = ngx_string("{}\n{\"a\x01\":1}\n"),
      .frames = 1, .declined = 1,
      .good = 3, .bad = AFTER("{}\n{\"a") },

    { .title = "lines: no UTF-8",
      .form = LINES, .last = DONE,
      .body = ngx_string("{}\n{\"a\":\"b\xc3(\"}\n"),
      .frames = 1, .declined = 1,
      .good = 3, .bad = AFTER("{}\n{\"a\":\"b\xc3") },

    { .title = "lines: no UTF-8, far behind",
      .form = LINES, .last = DONE,
      .body = ngx_string("{}\n{\"a\":\"0123456789012345678901234567890123456789"
                         "0123456789012345678901234567890123456789\xff\"}\n"),
      .frames = 1, .declined = 1,
      .good = 3,
      .bad = AFTER("{}\n{\"a\":\"0123456789012345678901234567890123456789"
                   "0123456789012345678901234567890123456789") },

    { .title = "lines: a comma too many",
      .form = LINES, .last = DONE,
      .body = ngx_string("{}\n{\"done\":true,}\n"),
      .frames = 1, .declined = 1,
      .good = 3, .bad = AFTER("{}\n{\"done\":true,") },


    /* server-sent events */

    { .title = "SSE: a chat, with usage",
      .form = SSE, .last = MARK,
      .body = ngx_string(CHUNK_1 CHUNK_2 CHUNK_3 "data: [DONE]\n\n"),
      .frames = 3, .tokens = "26 298", .flags = "done",
      .done = AFTER(CHUNK_1 CHUNK_2 CHUNK_3 "data: [DONE]") },

    { .title = "SSE: a chat, without usage, with carriage returns",
      .form = SSE, .last = MARK,
      .body = ngx_string("data: {\"choices\":[]}\r\n\r\ndata: [DONE]\r\n\r\n"),
      .frames = 1, .flags = "done",
      .done = AFTER("data: {\"choices\":[]}\r\n\r\ndata: [DONE]") },

    { .title = "SSE: the mark without its empty line",
      .form = SSE, .last = MARK,
      .body = ngx_string("data: {}\n\ndata: [DONE]\n"),
      .frames = 1, .flags = "done event",
      .done = AFTER("data: {}\n\ndata: [DONE]") },

    { .title = "SSE: no blank after the colon",
      .form = SSE, .last = MARK,
      .body = ngx_string("data:{\"a\":1}\n\ndata:[DONE]\n\n"),
      .frames = 1, .flags = "done",
      .done = AFTER("data:{\"a\":1}\n\ndata:[DONE]") },

    { .title = "SSE: more blanks",
      .form = SSE, .last = MARK,
      .body = ngx_string("data:   { \"a\" : 1 }  \n\n\n\ndata: {}\n\n"),
      .frames = 2, .flags = "" },

    { .title = "SSE: comments, ids and retries",
      .form = SSE, .last = MARK,
      .body = ngx_string(": ping\n\n:\n\nid: 1\nretry: 1000\nid:\n"
                         "data: {}\n\n: data: [DONE]\n\ndata: [DONE]\n\n"),
      .frames = 1, .flags = "done",
      .done = AFTER(": ping\n\n:\n\nid: 1\nretry: 1000\nid:\n"
                    "data: {}\n\n: data: [DONE]\n\ndata: [DONE]") },

    { .title = "SSE: no mark",
      .form = SSE, .last = MARK,
      .body = ngx_string(CHUNK_1 CHUNK_2),
      .frames = 2, .flags = "" },

    { .title = "SSE: cut in an event",
      .form = SSE, .last = MARK,
      .body = ngx_string("data: {}\n\ndata: {\"a\":1}\n"),
      .frames = 2, .flags = "event" },

    { .title = "SSE: cut in a line",
      .form = SSE, .last = MARK,
      .body = ngx_string("data: {}\n\ndata: {\"a\":\"[DONE]"),
      .frames = 1, .flags = "line" },

    { .title = "SSE: cut in the second line of an event",
      .form = SSE, .last = RESPONSE,
      .body = ngx_string("event: response.completed\ndata: {\"a\":"),
      .frames = 0, .flags = "line event" },

    { .title = "SSE: the mark in the text",
      .form = SSE, .last = MARK,
      .body = ngx_string("data: {\"choices\":[{\"delta\":{\"content\":"
                         "\"data: [DONE]\\n\\n\"}}]}\n\n"),
      .frames = 1, .flags = "" },

    { .title = "SSE: usage that is null, and of other things",
      .form = SSE, .last = MARK,
      .body = ngx_string("data: {\"usage\":null,\"choices\":[{\"usage\":{"
                         "\"prompt_tokens\":1,\"completion_tokens\":2}}]}\n\n"
                         "data: {\"usage\":{\"details\":{\"prompt_tokens\":3},"
                         "\"x\":[{\"output_tokens\":4}]}}\n\n"
                         "data: {\"prompt_tokens\":5,\"output_tokens\":6,"
                         "\"x\":{\"usage\":{\"prompt_tokens\":7}}}\n\n"
                         "data: {\"eval_count\":\"8\",\"usage\":{"
                         "\"eval_count\":9,\"prompt_eval_count\":10}}\n\n"),
      .frames = 4, .flags = "" },

    { .title = "SSE: the last usage counts",
      .form = SSE, .last = MARK,
      .body = ngx_string("data: {\"usage\":{\"prompt_tokens\":1,"
                         "\"completion_tokens\":2}}\n\n"
                         "data: {\"usage\":{\"prompt_tokens\":1,"
                         "\"completion_tokens\":3}}\n\n"
                         "data: {\"usage\":{\"prompt_tokens\":-1,"
                         "\"completion_tokens\":1e999}}\n\n"),
      .frames = 3, .tokens = "1 3", .flags = "" },

    { .title = "SSE: an array where usage was",
      .form = SSE, .last = MARK,
      .body = ngx_string("data: {\"usage\":{\"prompt_tokens\":1}}\n\n"
                         "data: {\"usage\":[5,[6]]}\n\n"
                         "data: {\"response\":{\"usage\":{\"output_tokens\":2"
                         "}}}\n\n"
                         "data: {\"response\":{\"usage\":[7]}}\n\n"
                         "data: {\"response\":[{\"output_tokens\":8}]}\n\n"),
      .frames = 5, .tokens = "1 2", .flags = "" },

    { .title = "SSE: an error",
      .form = SSE, .last = MARK,
      .body = ngx_string("data: {\"error\":{\"message\":\"x\",\"code\":null}}"
                         "\n\n"),
      .frames = 1, .flags = "error" },

    { .title = "SSE: a response",
      .form = SSE, .last = RESPONSE,
      .body = ngx_string(EVENT_1 EVENT_2 EVENT_3("completed") "\n\n"),
      .frames = 3, .tokens = "26 298", .flags = "done",
      .done = AFTER(EVENT_1 EVENT_2 EVENT_3("completed")) },

    { .title = "SSE: a response that ran out of tokens",
      .form = SSE, .last = RESPONSE,
      .body = ngx_string(EVENT_1 EVENT_3("incomplete") "\n\n"),
      .frames = 2, .tokens = "26 298", .flags = "done",
      .done = AFTER(EVENT_1 EVENT_3("incomplete")) },

    { .title = "SSE: a response that failed",
      .form = SSE, .last = RESPONSE,
      .body = ngx_string(EVENT_1 EVENT_3("failed") "\n\n"),
      .frames = 2, .tokens = "26 298", .flags = "done error",
      .done = AFTER(EVENT_1 EVENT_3("failed")) },

    { .title = "SSE: a response that failed, cut before it says so",
      .form = SSE, .last = RESPONSE,
      .body = ngx_string(EVENT_1 "event: response.failed\ndata: {\"type"),
      .frames = 1, .flags = "line event" },

    { .title = "SSE: a response, not finished",
      .form = SSE, .last = RESPONSE,
      .body = ngx_string(EVENT_1 EVENT_2 "event: response.completed\n"),
      .frames = 2, .flags = "event" },

    { .title = "SSE: an event's name is forgotten with the event",
      .form = SSE, .last = RESPONSE,
      .body = ngx_string("event: response.completed\n\ndata: {\"a\":1}\n\n"),
      .frames = 1, .flags = "" },

    { .title = "SSE: an error's name is forgotten with the event",
      .form = SSE, .last = MESSAGE,
      .body = ngx_string("event: error\n\ndata: {\"a\":1}\n\n"
                         "event: response.failed\r\n\r\ndata: {}\r\n\r\n"),
      .frames = 2, .flags = "" },

    { .title = "SSE: events by other names",
      .form = SSE, .last = RESPONSE,
      .body = ngx_string("event: response.complete\ndata: {}\n\n"
                         "event: response.completed_\ndata: {}\n\n"
                         "event: Response.Completed\ndata: {}\n\n"
                         "event: response.completed and a name much longer"
                         "\ndata: {}\n\n"
                         "event: message_stop\ndata: {}\n\n"
                         "event: \ndata: {}\n\nevent:\ndata: {}\n\n"),
      .frames = 7, .flags = "" },

    { .title = "SSE: a response doesn't end with a mark",
      .form = SSE, .last = RESPONSE,
      .body = ngx_string(EVENT_1 "data: [DONE]\n\n"),
      .frames = 1, .flags = "" },

    { .title = "SSE: a chat doesn't end with an event",
      .form = SSE, .last = MARK,
      .body = ngx_string("event: response.completed\ndata: {}\n\n"
                         "event: message_stop\ndata: {\"done\":true}\n\n"),
      .frames = 2, .flags = "" },

    { .title = "SSE: a message",
      .form = SSE, .last = MESSAGE,
      .body = ngx_string(MESSAGE_1 MESSAGE_2 MESSAGE_3 MESSAGE_4 "\n\n"),
      .frames = 4, .tokens = "26 298", .flags = "done",
      .done = AFTER(MESSAGE_1 MESSAGE_2 MESSAGE_3 MESSAGE_4) },

    { .title = "SSE: a message, with carriage returns",
      .form = SSE, .last = MESSAGE,
      .body = ngx_string("event: message_stop\r\ndata: {}\r\n\r\n"),
      .frames = 1, .flags = "done",
      .done = AFTER("event: message_stop\r\ndata: {}") },

    { .title = "SSE: a message, without its last newlines",
      .form = SSE, .last = MESSAGE,
      .body = ngx_string(MESSAGE_4),
      .frames = 1, .flags = "done line event",
      .done = AFTER(MESSAGE_4) },

    { .title = "SSE: a message, without its last newline",
      .form = SSE, .last = MESSAGE,
      .body = ngx_string(MESSAGE_4 "\n"),
      .frames = 1, .flags = "done event",
      .done = AFTER(MESSAGE_4) },

    { .title = "SSE: an error in a message",
      .form = SSE, .last = MESSAGE,
      .body = ngx_string(MESSAGE_1 "event: error\ndata: {\"type\":\"error\","
                         "\"error\":{\"type\":\"api_error\"}}\n\n"),
      .frames = 2, .tokens = "26 1", .flags = "error" },

    { .title = "SSE: pings in a message",
      .form = SSE, .last = MESSAGE,
      .body = ngx_string("event: ping\ndata: {\"type\": \"ping\"}\n\n"
                         MESSAGE_4 "\n\n"),
      .frames = 2, .flags = "done",
      .done = AFTER("event: ping\ndata: {\"type\": \"ping\"}\n\n"
                    MESSAGE_4) },

    { .title = "SSE: nothing comes after the end",
      .form = SSE, .last = MARK,
      .body = ngx_string("data: [DONE]\n\ndata: {\"error\":1}\n\noops\n"),
      .frames = 0, .flags = "done",
      .done = AFTER("data: [DONE]"),
      .declined = 1, .good = AFTER("data: [DONE]\n\n"),
      .bad = AFTER("data: [DONE]\n\n") },


    /* legal, if no Ollama sends it */

    { .title = "SSE: fields that nobody knows, and no fields",
      .form = SSE, .last = MARK,
      .body = ngx_string("ping\n\ndata: {}\noops\n\nx\nDATA: {\nda\nta: 1\n"
                         "x-note: {\"error\":\"x\"}\n\ndata: [DONE]\n\n"),
      .frames = 1, .flags = "done",
      .done = AFTER("ping\n\ndata: {}\noops\n\nx\nDATA: {\nda\nta: 1\n"
                    "x-note: {\"error\":\"x\"}\n\ndata: [DONE]") },

    { .title = "SSE: no data",
      .form = SSE, .last = MARK,
      .body = ngx_string("data: {}\n\ndata: \n\ndata:\r\n\r\ndata\n\n"
                         "data:  \t \n\ndata\ndata: {}\ndata: \n\ndata: "
                         "[DONE]\ndata\n\n"),
      .frames = 2, .flags = "done",
      .done = AFTER("data: {}\n\ndata: \n\ndata:\r\n\r\ndata\n\n"
                    "data:  \t \n\ndata\ndata: {}\ndata: \n\n"
                    "data: [DONE]") },

    { .title = "SSE: an object over several lines",
      .form = SSE, .last = MARK,
      .body = ngx_string("data: {\"usage\":\ndata: {\"prompt_tokens\"\n: x\n"
                         "data\nid: 1\ndata::\ndata:12\r\ndata: \rdata: "
                         "},\"a\":\ndata: [1]\ndata: }\n\ndata: [DONE]\n\n"),
      .frames = 1, .tokens = "12 -1", .flags = "done",
      .done = AFTER("data: {\"usage\":\ndata: {\"prompt_tokens\"\n: x\n"
                    "data\nid: 1\ndata::\ndata:12\r\ndata: \rdata: "
                    "},\"a\":\ndata: [1]\ndata: }\n\ndata: [DONE]") },

    { .title = "SSE: several objects in an event",
      .form = SSE, .last = MARK,
      .body = ngx_string("data: {\"error\":1}\ndata: {}\ndata: {\ndata: }\n\n"
                         "data: {}\ndata: [DONE]\n\n"),
      .frames = 4, .flags = "done",
      .done = AFTER("data: {\"error\":1}\ndata: {}\ndata: {\ndata: }\n\n"
                    "data: {}\ndata: [DONE]") },

    { .title = "SSE: an event's name behind its data",
      .form = SSE, .last = MESSAGE,
      .body = ngx_string("data: {}\nevent: ping\n\ndata: {}\ndata: \n"
                         "event: message_stop\n\n"),
      .frames = 2, .flags = "done",
      .done = AFTER("data: {}\nevent: ping\n\ndata: {}\ndata: \n"
                    "event: message_stop") },

    { .title = "SSE: an error's name behind its data",
      .form = SSE, .last = MESSAGE,
      .body = ngx_string("data: {}\nevent: error\n\n"),
      .frames = 1, .flags = "error" },

    { .title = "SSE: a name without data",
      .form = SSE, .last = MESSAGE,
      .body = ngx_string("data: {}\n\nevent: message_stop\n\n"),
      .frames = 1, .flags = "" },

    { .title = "SSE: a response without names",
      .form = SSE, .last = RESPONSE,
      .body = ngx_string("data: {\"type\":\"response.created\",\"response\":{}}"
                         "\n\ndata: {\"a\":{\"type\":\"response.failed\"}}\n\n"
                         "data: {\"response\":{},\"type\":"
                         "\"response.completed\"}\n\n"),
      .frames = 3, .flags = "done",
      .done = AFTER("data: {\"type\":\"response.created\",\"response\":{}}"
                    "\n\ndata: {\"a\":{\"type\":\"response.failed\"}}\n\n"
                    "data: {\"response\":{},\"type\":"
                    "\"response.completed\"}") },

    { .title = "SSE: an error of a response without a name",
      .form = SSE, .last = RESPONSE,
      .body = ngx_string("data: {\"type\":\"error\",\"message\":\"x\"}\n\n"),
      .frames = 1, .flags = "error" },

    { .title = "SSE: lines that end with CR",
      .form = SSE, .last = MARK,
      .body = ngx_string(": x\r\rdata: {\"error\":1}\r\rdata: {}\r\r"
                         "data: [DONE]\r\r"),
      .frames = 2, .flags = "done",
      .done = AFTER(": x\r\rdata: {\"error\":1}\r\rdata: {}\r\r"
                    "data: [DONE]") },

    { .title = "SSE: an event of lines that end with CR, not ended",
      .form = SSE, .last = MARK,
      .body = ngx_string("data: {}\r\rdata: {}\r"),
      .frames = 2, .flags = "line event" },

    { .title = "SSE: a byte order mark",
      .form = SSE, .last = MESSAGE,
      .body = ngx_string("\xef\xbb\xbf" "event: message_stop\r\ndata: {}\r\n"
                         "\r\n"),
      .frames = 1, .flags = "done",
      .done = AFTER("\xef\xbb\xbf" "event: message_stop\r\ndata: {}") },

    /* what is no frame */

    { .title = "SSE: a page",
      .form = SSE, .last = MARK,
      .body = ngx_string("<html>\n"),
      .declined = 1, .bad = 0 },

    { .title = "SSE: words",
      .form = SSE, .last = MARK,
      .body = ngx_string("data: {}\n\noops no\n"),
      .frames = 1, .declined = 1,
      .good = AFTER("data: {}\n\n"), .bad = AFTER("data: {}\n\noops") },

    { .title = "SSE: a line of JSON",
      .form = SSE, .last = MARK,
      .body = ngx_string("data: {}\n\n{\"error\":\"x\"}\n"),
      .frames = 1, .declined = 1,
      .good = AFTER("data: {}\n\n"), .bad = AFTER("data: {}\n\n") },

    { .title = "SSE: data that is an array",
      .form = SSE, .last = MARK,
      .body = ngx_string("data: {}\n\ndata: [1,2]\n\n"),
      .frames = 1, .declined = 1,
      .good = AFTER("data: {}\n\n"), .bad = AFTER("data: {}\n\ndata: [1,2]") },

    { .title = "SSE: data that begins like the mark",
      .form = SSE, .last = MARK,
      .body = ngx_string("data: {}\n\ndata: [DONE]]\n\n"),
      .frames = 1, .declined = 1,
      .good = AFTER("data: {}\n\n"),
      .bad = AFTER("data: {}\n\ndata: [DONE]]") },

    { .title = "SSE: data that is a number",
      .form = SSE, .last = MARK,
      .body = ngx_string("data: {}\n\ndata: 1\n\n"),
      .frames = 1, .declined = 1,
      .good = AFTER("data: {}\n\n"), .bad = AFTER("data: {}\n\ndata: ") },

    { .title = "SSE: text behind the object",
      .form = SSE, .last = MARK,
      .body = ngx_string("data: {}\n\ndata: {} x\n\n"),
      .frames = 2, .declined = 1,
      .good = AFTER("data: {}\n\n"), .bad = AFTER("data: {}\n\ndata: {} ") },

    { .title = "SSE: two objects in a line",
      .form = SSE, .last = MARK,
      .body = ngx_string("data: {}\n\ndata: {}{}\n\n"),
      .frames = 2, .declined = 1,
      .good = AFTER("data: {}\n\n"), .bad = AFTER("data: {}\n\ndata: {}") },

    { .title = "SSE: an object that its event cuts",
      .form = SSE, .last = MARK,
      .body = ngx_string("data: {}\n\ndata: {\n\ndata: }\n\n"),
      .frames = 1, .declined = 1,
      .good = AFTER("data: {}\n\ndata: {\n"),
      .bad = AFTER("data: {}\n\ndata: {\n") },

    { .title = "SSE: a text over two lines",
      .form = SSE, .last = MARK,
      .body = ngx_string("data: {\"a\":\"b\ndata: c\"}\n\n"),
      .declined = 1, .bad = AFTER("data: {\"a\":\"b") },

    { .title = "SSE: a number over two lines",
      .form = SSE, .last = MARK,
      .body = ngx_string("data: {\"a\":1\ndata: 2}\n\n"),
      .declined = 1, .good = AFTER("data: {\"a\":1\n"),
      .bad = AFTER("data: {\"a\":1\ndata: 2") },

    { .title = "SSE: garbage in the second line of an event",
      .form = SSE, .last = RESPONSE,
      .body = ngx_string("event: response.completed\ndata: {!}\n\n"),
      .declined = 1,
      .good = AFTER("event: response.completed\n"),
      .bad = AFTER("event: response.completed\ndata: {") },

    { .title = "SSE: garbage behind the mark, in its line",
      .form = SSE, .last = MARK,
      .body = ngx_string("data: [DONE] x\n\n"),
      .declined = 1, .bad = AFTER("data: [DONE] x") },

    { .title = "SSE: garbage behind the mark, in its event",
      .form = SSE, .last = MARK,
      .body = ngx_string("data: [DONE]\n<x\n\n"),
      .declined = 1,
      .good = AFTER("data: [DONE]\n"), .bad = AFTER("data: [DONE]\n") },

    { .title = "SSE: another field behind the mark, in its event",
      .form = SSE, .last = MARK,
      .body = ngx_string("data: [DONE]\nx\n\nx"),
      .flags = "done", .done = AFTER("data: [DONE]"),
      .declined = 1, .good = AFTER("data: [DONE]\nx\n\n"),
      .bad = AFTER("data: [DONE]\nx\n\n") },


    /* one object */

    { .title = "whole: a chat",
      .form = WHOLE, .last = DONE,
      .body = ngx_string(CHAT_3),
      .frames = 1, .tokens = "26 298", .flags = "done line",
      .done = AFTER(CHAT_3) },

    { .title = "whole: a chat with a newline",
      .form = WHOLE, .last = DONE,
      .body = ngx_string(CHAT_3 "\n"),
      .frames = 1, .tokens = "26 298", .flags = "done",
      .done = AFTER(CHAT_3) },

    { .title = "whole: a chat that isn't done",
      .form = WHOLE, .last = DONE,
      .body = ngx_string(CHAT_1),
      .frames = 1, .flags = "line" },

    { .title = "whole: over many lines",
      .form = WHOLE, .last = DONE,
      .body = ngx_string("\n{\n  \"done\":\n  true,\r\n\r\n  \"eval_count\":"
                         "\n3\n}\n\n"),
      .frames = 1, .tokens = "-1 3", .flags = "done",
      .done = AFTER("\n{\n  \"done\":\n  true,\r\n\r\n  \"eval_count\":"
                    "\n3\n}") },

    { .title = "whole: a completion",
      .form = WHOLE, .last = OBJECT,
      .body = ngx_string("{\"choices\":[{\"message\":{\"content\":\"x\"}}],"
                         "\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":"
                         "3}}"),
      .frames = 1, .tokens = "2 3", .flags = "done line",
      .done = AFTER("{\"choices\":[{\"message\":{\"content\":\"x\"}}],"
                    "\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":"
                    "3}}") },

    { .title = "whole: an error",
      .form = WHOLE, .last = OBJECT,
      .body = ngx_string("{\"error\":\"x\"}"),
      .frames = 1, .flags = "done error line",
      .done = AFTER("{\"error\":\"x\"}") },

    { .title = "whole: an error where something is to be done",
      .form = WHOLE, .last = DONE,
      .body = ngx_string("{\"error\":\"x\"}\n"),
      .frames = 1, .flags = "error" },

    { .title = "whole: nothing",
      .form = WHOLE, .last = OBJECT,
      .body = ngx_string(""),
      .frames = 0, .flags = "" },

    { .title = "whole: only whitespace",
      .form = WHOLE, .last = OBJECT,
      .body = ngx_string(" \r\n\t"),
      .frames = 0, .flags = "line" },

    { .title = "whole: an array",
      .form = WHOLE, .last = OBJECT,
      .body = ngx_string(" [1]"),
      .declined = 1, .bad = 1 },

    { .title = "whole: a page",
      .form = WHOLE, .last = OBJECT,
      .body = ngx_string("\n<html>"),
      .declined = 1, .bad = 1 },

    { .title = "whole: two objects",
      .form = WHOLE, .last = OBJECT,
      .body = ngx_string("{} {}"),
      .frames = 1, .declined = 1, .bad = 3 },

    { .title = "whole: two objects on two lines",
      .form = WHOLE, .last = OBJECT,
      .body = ngx_string("{}\n{}"),
      .frames = 1, .declined = 1, .bad = 3 },

    { .title = "whole: text behind the object, on another line",
      .form = WHOLE, .last = OBJECT,
      .body = ngx_string("{}\n\noops"),
      .frames = 1, .declined = 1, .bad = 4 },

    { .title = "whole: garbage in the middle",
      .form = WHOLE, .last = OBJECT,
      .body = ngx_string("{\"a\":oops}"),
      .declined = 1, .bad = 5 }
};


static frame_huge_t  frame_huges[] = {

    { "huge: 20 MB in a frame's text", LINES, DONE,
      "{\"message\":{\"content\":\"", "0123456789abcdef\\n\\u00e9\xc3\xa9",
      20 * 1024 * 1024, "\"},\"done\":true}\n", 1, 1 },

    { "huge: 10 MB in a frame's key", LINES, DONE,
      "{\"", "done", 10 * 1024 * 1024, "\":true,\"done\":true}\n", 1, 1 },

    { "huge: 10 MB of members", LINES, DONE,
      "{\"a\":1", ",\"a\":[1,{\"b\":null}],\"error\":null,\"eval_count\":12",
      10 * 1024 * 1024, ",\"done\":true}\n", 1, 1 },

    { "huge: 10 MB of logprobs, in one event", SSE, MARK,
      "data: {\"a\":[0", ",-0.12345678e-12", 10 * 1024 * 1024,
      "]}\n\ndata: [DONE]\n\n", 1, 1 },

    { "huge: 10 MB of whitespace", WHOLE, OBJECT,
      "{", " \r\n\t", 10 * 1024 * 1024, "}", 1, 1 },

    { "huge: 10 MB of empty lines", SSE, MARK,
      "", "\n\r\n", 10 * 1024 * 1024, "data: [DONE]\n\n", 0, 1 },

    { "huge: a comment of 10 MB", SSE, MARK,
      ": ", "0123456789", 10 * 1024 * 1024, "\n\ndata: [DONE]\n\n", 0, 1 },

    { "huge: an event's name of 10 MB", SSE, RESPONSE,
      "event: response.completed", "0123456789", 10 * 1024 * 1024,
      "\ndata: {}\n\n", 1, 0 },

    { "huge: a text that never ends", LINES, DONE,
      "{\"message\":{\"content\":\"", "{\\\"done\\\":true}",
      10 * 1024 * 1024, "", 0, 0 }
};


static void
frame_start(ngx_http_ollama_frame_t *frame, ngx_pool_t **pool,
    ngx_http_ollama_frame_form_e form, ngx_http_ollama_frame_end_e last)
{
    *pool = ngx_create_pool(4096, NULL);
    assert_non_null(*pool);

    ngx_memzero(frame, sizeof(ngx_http_ollama_frame_t));

    assert_int_equal(ngx_http_ollama_frame_init(frame, *pool, form, last),
                     NGX_OK);

    assert_int_equal(frame->frames, 0);
    assert_int_equal(frame->prompt_tokens, -1);
    assert_int_equal(frame->generated_tokens, -1);
    assert_int_equal(frame->done, 0);
    assert_int_equal(frame->error, 0);
}


/* Feeds a copy that lasts no longer than the call. */

static ngx_int_t
frame_feed(ngx_http_ollama_frame_t *frame, u_char *p, size_t size,
    size_t *good)
{
    u_char     *piece;
    ngx_int_t   rc;

    piece = malloc(size ? size : 1);
    assert_non_null(piece);

    if (size) {
        memcpy(piece, p, size);
    }

    *good = (size_t) -1;

    rc = ngx_http_ollama_frame_feed(frame, piece, size, good);

    assert_memory_equal(piece, p, size);
    free(piece);

    assert_true(*good <= size);

    if (rc == NGX_OK) {
        assert_int_equal(*good, size);
    }

    return rc;
}


static const char *
frame_flags(ngx_http_ollama_frame_t *frame)
{
    static char  flags[32];

    (void) snprintf(flags, sizeof(flags), "%s%s%s%s",
                    frame->done ? " done" : "", frame->error ? " error" : "",
                    frame->line ? " line" : "",
                    frame->event ? " event" : "");

    return flags[0] ? flags + 1 : "";
}


/* What is no frame: seen at once, and what has been let through is told. */

static void
frame_check_declined(frame_case_t *c, const char *pieces,
    ngx_http_ollama_frame_t *frame, ngx_int_t rc, size_t begin, size_t end,
    size_t good)
{
    if (rc != NGX_DECLINED) {
        fail_msg("%s: taken", pieces);
    }

    /* the piece with the bad byte is that which was refused */

    if (c->bad < begin || c->bad >= end) {
        fail_msg("%s: refused with bytes %d to %d, not with %d", pieces,
                 (int) begin, (int) end - 1, (int) c->bad);
    }

    /* up to the bad line, or what of it was in the pieces before */

    if (begin + good != ngx_max(c->good, begin)) {
        fail_msg("%s: %d bytes are good, not %d", pieces,
                 (int) (begin + good), (int) ngx_max(c->good, begin));
    }

    /* one of many lines is none that is left cut */

    if (frame->form != WHOLE
        && frame->line != (begin + good > c->good))
    {
        fail_msg("%s: line is %d", pieces, frame->line);
    }

    if (frame->done != (c->flags && strstr(c->flags, "done"))) {
        fail_msg("%s: done is %d", pieces, (int) frame->done);
    }

    if (frame->frames > c->frames) {
        fail_msg("%s: %d frames, not %d", pieces, (int) frame->frames,
                 (int) c->frames);
    }
}


/* Feeds a piece of "first" bytes, then pieces of "step" bytes, and checks. */

static void
frame_check(frame_case_t *c, size_t first, size_t step)
{
    char                      pieces[64], tokens[64];
    size_t                    n, done, good;
    ngx_int_t                 rc;
    ngx_pool_t               *pool;
    ngx_http_ollama_frame_t   frame;

    (void) snprintf(pieces, sizeof(pieces), "%d, then %d bytes each",
                    (int) first, (int) step);

    frame_start(&frame, &pool, c->form, c->last);

    done = 0;
    n = first;

    for ( ;; ) {
        n = ngx_min(n, c->body.len - done);

        rc = frame_feed(&frame, c->body.data + done, n, &good);

        if (rc != NGX_OK || done + n == c->body.len) {
            break;
        }

        done += n;
        n = step;
    }

    if (c->declined) {
        frame_check_declined(c, pieces, &frame, rc, done, done + n, good);

        ngx_destroy_pool(pool);
        return;
    }

    if (rc != NGX_OK) {
        fail_msg("%s: %d with bytes %d to %d", pieces, (int) rc, (int) done,
                 (int) (done + n) - 1);
    }

    (void) snprintf(tokens, sizeof(tokens), "%ld %ld",
                    (long) frame.prompt_tokens, (long) frame.generated_tokens);

    if (strcmp(tokens, c->tokens ? c->tokens : "-1 -1") != 0) {
        fail_msg("%s: tokens are %s", pieces, tokens);
    }

    if (frame.frames != c->frames) {
        fail_msg("%s: %d frames, not %d", pieces, (int) frame.frames,
                 (int) c->frames);
    }

    if (strcmp(frame_flags(&frame), c->flags) != 0) {
        fail_msg("%s: \"%s\", not \"%s\"", pieces, frame_flags(&frame),
                 c->flags);
    }

    rc = ngx_http_ollama_frame_end(&frame);

    if (rc != (c->done ? NGX_OK : NGX_DECLINED)
        || frame.done != (rc == NGX_OK))
    {
        fail_msg("%s: %d in the end", pieces, (int) rc);
    }

    ngx_destroy_pool(pool);
}


/* The reply breaks off after so many bytes. */

static void
frame_check_cut_off(frame_case_t *c, size_t len, size_t step)
{
    size_t                    n, done, good;
    ngx_int_t                 rc;
    ngx_pool_t               *pool;
    ngx_http_ollama_frame_t   frame;

    frame_start(&frame, &pool, c->form, c->last);

    rc = NGX_OK;

    for (done = 0; done < len && rc == NGX_OK; done += n) {

        n = ngx_min(step, len - done);
        rc = frame_feed(&frame, c->body.data + done, n, &good);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_ollama_frame_end(&frame);
    }

    if (rc != ((c->done && len >= c->done) ? NGX_OK : NGX_DECLINED)
        || frame.done != (rc == NGX_OK))
    {
        fail_msg("cut off after %d bytes, %d at a time: %d", (int) len,
                 (int) step, (int) rc);
    }

    ngx_destroy_pool(pool);
}


static void
frame_case_test(void **state)
{
    frame_case_t *c = *state;

    size_t      i;
    ngx_uint_t  pools;

    pools = ngx_stub_pools;

    frame_check(c, c->body.len, 1);
    frame_check(c, 1, 1);
    frame_check(c, 0, 3);

    for (i = 0; i < c->body.len; i++) {
        frame_check(c, i, c->body.len);
        frame_check(c, i, 1);
    }

    for (i = 0; i <= c->body.len && !c->declined; i++) {
        frame_check_cut_off(c, i, c->body.len);
        frame_check_cut_off(c, i, 1);
    }

    assert_int_equal(ngx_stub_pools, pools);
}


static void
frame_huge_test(void **state)
{
    frame_huge_t *huge = *state;

    size_t                    done, unit, size, good;
    u_char                   *piece;
    ngx_pool_t               *pool;
    ngx_http_ollama_frame_t   frame;

    /* whole units, but not so that each piece is the same for the parser */

    unit = strlen(huge->unit);
    size = 65536 - 65536 % unit;

    piece = malloc(size);
    assert_non_null(piece);

    for (done = 0; done < size; done += unit) {
        memcpy(piece + done, huge->unit, unit);
    }

    frame_start(&frame, &pool, huge->form, huge->last);

    assert_int_equal(frame_feed(&frame, (u_char *) huge->before,
                                strlen(huge->before), &good),
                     NGX_OK);

    for (done = 0; done < huge->size; done += size) {

        assert_int_equal(ngx_http_ollama_frame_feed(&frame, piece, size / 3,
                                                    &good),
                         NGX_OK);
        assert_int_equal(ngx_http_ollama_frame_feed(&frame, piece + size / 3,
                                                    size - size / 3, &good),
                         NGX_OK);
    }

    assert_int_equal(frame_feed(&frame, (u_char *) huge->after,
                                strlen(huge->after), &good),
                     NGX_OK);

    assert_true(ngx_stub_pool_peak(pool) >= 1
                && ngx_stub_pool_peak(pool) <= MEMORY);

    assert_int_equal(frame.frames, huge->frames);
    assert_int_equal(ngx_http_ollama_frame_end(&frame),
                     huge->done ? NGX_OK : NGX_DECLINED);

    ngx_destroy_pool(pool);
    free(piece);
}


/* a long stream takes no more than a short one */

static void
frame_many_test(void **state)
{
    size_t                    i, good, bytes;
    ngx_pool_t               *pool;
    ngx_http_ollama_frame_t   frame;

    static ngx_str_t  line = ngx_string(CHAT_1 "\n" CHAT_2 "\n");
    static ngx_str_t  last = ngx_string(CHAT_3 "\n");

    frame_start(&frame, &pool, LINES, DONE);

    bytes = 0;

    for (i = 0; i < 100000; i++) {

        assert_int_equal(ngx_http_ollama_frame_feed(&frame, line.data, i % 90,
                                                    &good),
                         NGX_OK);
        assert_int_equal(ngx_http_ollama_frame_feed(&frame,
                                                    line.data + i % 90,
                                                    line.len - i % 90, &good),
                         NGX_OK);

        if (i == 100) {
            bytes = ngx_stub_pool_bytes(pool);
        }
    }

    assert_int_equal(ngx_http_ollama_frame_feed(&frame, last.data, last.len,
                                                &good),
                     NGX_OK);

    assert_int_equal(ngx_stub_pool_bytes(pool), bytes);
    assert_true(bytes >= 1
                && bytes <= 4096);

    assert_int_equal(frame.frames, 200001);
    assert_int_equal(frame.generated_tokens, 298);
    assert_int_equal(ngx_http_ollama_frame_end(&frame), NGX_OK);

    ngx_destroy_pool(pool);
}


static void
frame_depth_test(void **state)
{
    u_char         text[2048], *p;
    size_t         i;
    ngx_uint_t     n;
    frame_case_t   c;

    /* 256 levels, the frame with them, in arrays and in objects */

    for (n = 254; n <= 257; n++) {

        ngx_memzero(&c, sizeof(frame_case_t));

        p = ngx_cpymem(text, "{\"done\":true,\"a\":", 17);

        for (i = 1; i < n; i++) {
            if (i % 3) {
                *p++ = '[';

            } else {
                p = ngx_cpymem(p, "{\"done\":", 8);
            }
        }

        c.bad = p - 1 - text;

        p = ngx_cpymem(p, "false", 5);

        while (--i) {
            *p++ = (i % 3) ? ']' : '}';
        }

        *p++ = '}';
        c.done = p - text;
        *p++ = '\n';

        c.form = LINES;
        c.last = DONE;
        c.body.data = text;
        c.body.len = p - text;
        c.frames = 1;
        c.declined = (n > 256);
        c.flags = c.declined ? "" : "done";

        frame_case_test((void *[]) { &c });
    }
}


/* frees what it can at once, and may be called at any time, and again */

static void
frame_free_test(void **state)
{
    size_t                    i, good;
    ngx_pool_t               *pool;
    ngx_http_ollama_frame_t   frame;

    static ngx_str_t  text = ngx_string(CHAT_1 "\n" CHAT_3 "\n");

    for (i = 0; i <= text.len; i++) {

        frame_start(&frame, &pool, LINES, DONE);

        assert_int_equal(frame_feed(&frame, text.data, i, &good), NGX_OK);


        ngx_destroy_pool(pool);
    }

    /* before it was begun */

    ngx_memzero(&frame, sizeof(ngx_http_ollama_frame_t));
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_add_rows(&suite, frame_case_test, frame_cases, sizeof(frame_case_t),
                  unit_nelts(frame_cases));
    unit_add(&suite, "depth", frame_depth_test, NULL);
    unit_add_rows(&suite, frame_huge_test, frame_huges, sizeof(frame_huge_t),
                  unit_nelts(frame_huges));
    unit_add(&suite, "many frames", frame_many_test, NULL);
    unit_add(&suite, "freed at any time", frame_free_test, NULL);

    return unit_run(&suite, "frame");
}
