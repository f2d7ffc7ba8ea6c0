
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What the request scanner reads out of a body, as Go's encoding/json would:
 * values, types, and the errors with their bytes.  What is cut out of a body
 * is in scan_cut_test.c.
 */


#include "scan_stub.h"


#define VALUES  6


typedef struct {
    const char  *text;
    const char  *type;
} scan_value_t;


/* a place for a value: all types but "must" and null are refused there */

typedef struct {
    const char  *title;
    ngx_uint_t   flags;
    const char  *before;
    const char  *after;
    const char  *must;      /* NULL: any type */
    const char  *name;
} scan_type_t;


typedef struct {
    const char  *title;
    ngx_str_t    id;
    ngx_uint_t   valid;
} scan_id_t;


typedef struct {
    const char  *title;
    const char  *path;
    ngx_uint_t   n;         /* 0: declined */
    const char  *segment[NGX_HTTP_OLLAMA_FORBID_DEPTH];
} scan_path_t;


static scan_case_t  scan_cases[] = {

    { .title = "the least body",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"m\"}"),
      .model = ngx_string("m") },

    { .title = "a chat as clients send it",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"llama3.2:latest\",\"messages\":[{\"role"
                         "\":\"user\",\"content\":\"Why is the sky blue?\"}],"
                         "\"stream\":true,\"options\":{\"num_ctx\":4096,"
                         "\"temperature\":0.5}}\n"),
      .model = ngx_string("llama3.2:latest"),
      .stream = NGX_HTTP_OLLAMA_STREAM_ON },

    { .title = "whitespace everywhere",
      .flags = SCAN_CHAT,
      .body = ngx_string(" \t\r\n{ \"model\" :\t\"m\" ,\r\n\"stream\" : false "
                         ", \"messages\" : [ { \"role\" : \"user\" } , { } ] "
                         "} \t\r\n"),
      .model = ngx_string("m"),
      .stream = NGX_HTTP_OLLAMA_STREAM_OFF },

    { .title = "messages: none",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"m\"}"),
      .model = ngx_string("m"),
      .messages = "" },

    { .title = "messages: an empty list",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"m\",\"messages\":[ ]}"),
      .model = ngx_string("m"),
      .messages = "@ ]}" },

    { .title = "messages: their places",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"messages\": [{\"role\":\"user\",\"content\":\"a"
                         "]}\"} , {\"x\":[{},[{}]]},{}] ,\"model\":\"m\"}"),
      .model = ngx_string("m"),
      .messages = "{\"role\":\"user\",\"content\":\"a]}\"}|{\"x\":[{},[{}]]"
                  "}|{}@{\"role\":\"user\",\"content\":\"a]}\"} , {\"x\":[{"
                  "},[{}]]},{}] ,\"model\":\"m\"}" },

    { .title = "messages: the last list counts",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"messages\":[{\"a\":1},{}],\"model\":\"m\",\"Mes"
                         "sages\":[{\"b\":2}]}"),
      .model = ngx_string("m"),
      .messages = "{\"b\":2}@{\"b\":2}]}" },

    { .title = "messages: null takes a list back",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"messages\":[{\"a\":1}],\"model\":\"m\",\"messag"
                         "es\":null}"),
      .model = ngx_string("m"),
      .messages = "" },

    { .title = "messages: a list after null",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"messages\":null,\"model\":\"m\",\"messages\":[{"
                         "}]}"),
      .model = ngx_string("m"),
      .messages = "{}@{}]}" },

    { .title = "messages: null in other places",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"messages\":[{\"messages\":null,\"content\":null"
                         "}],\"model\":\"m\",\"x\":{\"messages\":null}}"),
      .model = ngx_string("m"),
      .messages = "{\"messages\":null,\"content\":null}@{\"messages\":null,"
                  "\"content\":null}],\"model\":\"m\",\"x\":{\"messages\":n"
                  "ull}}" },

    { .title = "messages: those of other fields are none",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"m\",\"x\":[{\"messages\":[{}]}],\"opt"
                         "ions\":{\"messages\":[{}]}}"),
      .model = ngx_string("m"),
      .messages = "" },

    { .title = "messages: of OpenAI, content of parts",
      .flags = SCAN_V1,
      .body = ngx_string("{\"model\":\"m\",\"messages\":[{\"role\":\"user\","
                         "\"content\":[{\"type\":\"text\",\"text\":\"}\"}]}]"
                         "}"),
      .model = ngx_string("m"),
      .messages = "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"tex"
                  "t\":\"}\"}]}@{\"role\":\"user\",\"content\":[{\"type\":"
                  "\"text\",\"text\":\"}\"}]}]}" },

    { .title = "a session may have the model",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"session_id\":\"s\",\"messages\":[{}]} "),
      .session_id = ngx_string("s"),
      .sent = ngx_string("{\"messages\":[{}]} "),
      .messages = "{}@{}]} " },

    { .title = "a session that is named elsewhere, too",
      .flags = SCAN_CHAT|NGX_HTTP_OLLAMA_SCAN_SESSION,
      .body = ngx_string("{\"messages\":[{}]}\n"),
      .messages = "{}@{}]}\n" },

    { .title = "a model that is empty, in a session",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"\",\"session_id\":\"s\",\"messages\":"
                         "[]}"),
      .session_id = ngx_string("s"),
      .sent = ngx_string("{\"model\":\"\",\"messages\":[]}"),
      .messages = "@]}" },

    { .title = "empty objects and arrays",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"messages\":[],\"options\":{},\"tools\":[{}],"
                         "\"model\":\"m\"}"),
      .model = ngx_string("m") },

    { .title = "every kind of value in fields that are not ours",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"a\":null,\"b\":true,\"c\":-1.5e+3,\"d\":\"x\","
                         "\"e\":{\"f\":[1,[2]]},\"g\":[],\"model\":\"m\","
                         "\"\":0}"),
      .model = ngx_string("m") },

    { .title = "a model with escapes",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"hf.co\\/a\\u002fb\\\"\\\\\\n\"}"),
      .model = ngx_string("hf.co/a/b\"\\\n") },

    { .title = "a model outside of ASCII",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"\xc3\xa9\xe2\x82\xac\\u00e9\\ud83d"
                         "\\ude00\xf0\x9f\x98\x80\"}"),
      .model = ngx_string("\xc3\xa9\xe2\x82\xac\xc3\xa9\xf0\x9f\x98\x80"
                          "\xf0\x9f\x98\x80") },

    { .title = "a NUL in the model",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"a\\u0000b\"}"),
      .model = ngx_string("a\0b") },

    { .title = "keys in other cases",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"MODEL\":\"m\",\"Stream\":false}"),
      .model = ngx_string("m"),
      .stream = NGX_HTTP_OLLAMA_STREAM_OFF },

    { .title = "keys in escapes",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"\\u006d\\u006F\\u0064el\":\"m\","
                         "\"\\u017ftream\":false}"),
      .model = ngx_string("m"),
      .stream = NGX_HTTP_OLLAMA_STREAM_OFF },

    { .title = "the long s in a key",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"\xc5\xbftream\":false,\"model\":\"m\"}"),
      .model = ngx_string("m"),
      .stream = NGX_HTTP_OLLAMA_STREAM_OFF },

    { .title = "keys that only look like it",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"m\",\"model \":\"a\",\"models\":1,"
                         "\"mode\":2,\"m\xd0\xbe" "del\":3,\"model\\u0000\":4,"
                         "\"\":5,\"stream_\":6,\"task_idx\":7,\"task-id\":8,"
                         "\"session_id_\":9,\"xserver_url\":10}"),
      .model = ngx_string("m") },

    { .title = "the last model wins",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"first\",\"model\":\"second\","
                         "\"Model\":\"last one\"}"),
      .model = ngx_string("last one") },

    { .title = "the last model wins: a shorter one",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"a long name\",\"MODEL\":\"m\"}"),
      .model = ngx_string("m") },

    { .title = "the last model wins: an empty one",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"m\",\"model\":\"\"}"),
      .error = "\"model\" is required", .at = 24 },

    { .title = "the last model wins: after an empty one",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"abc\",\"model\":\"\","
                         "\"model\":\"defg\"}"),
      .model = ngx_string("defg") },

    { .title = "null leaves the model as it was",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"m\",\"model\":null}"),
      .model = ngx_string("m") },

    { .title = "a model after null",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":null,\"model\":\"m\"}"),
      .model = ngx_string("m") },

    { .title = "the last stream wins",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"m\",\"stream\":false,\"stream\":true}"),
      .model = ngx_string("m"),
      .stream = NGX_HTTP_OLLAMA_STREAM_ON },

    { .title = "null unsets stream: a pointer in Ollama's own requests",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"m\",\"stream\":false,\"stream\":null}"),
      .model = ngx_string("m") },

    { .title = "null leaves stream as it was: a plain field in OpenAI's",
      .flags = SCAN_V1,
      .body = ngx_string("{\"model\":\"m\",\"stream\":true,\"stream\":null}"),
      .model = ngx_string("m"),
      .stream = NGX_HTTP_OLLAMA_STREAM_ON },

    { .title = "stream means nothing where there is none",
      .flags = NGX_HTTP_OLLAMA_SCAN_OPTIONS,
      .body = ngx_string("{\"model\":\"m\",\"stream\":\"yes\"}"),
      .model = ngx_string("m") },

    { .title = "fields below the top are other fields",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"options\":{\"model\":\"a\",\"stream\":false,"
                         "\"task_id\":1},\"tools\":[{\"model\":2,\"task_id\":"
                         "\"b\",\"session_id\":\"c\",\"server_url\":\"d\"}],"
                         "\"model\":\"m\"}"),
      .model = ngx_string("m") },

    { .title = "a model below the top is none",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"options\":{\"model\":\"a\"}} "),
      .error = "\"model\" is required", .at = 25 },

    { .title = "the name of a model",
      .flags = SCAN_SHOW,
      .body = ngx_string("{\"name\":\"n\"}"),
      .model = ngx_string("n") },

    { .title = "a model goes before a name",
      .flags = SCAN_SHOW,
      .body = ngx_string("{\"model\":\"m\",\"name\":\"n\"}"),
      .model = ngx_string("m") },

    { .title = "a name goes before an empty model",
      .flags = SCAN_SHOW,
      .body = ngx_string("{\"name\":\"n\",\"model\":\"\"}"),
      .model = ngx_string("n") },

    { .title = "a name is none of a model's where models have none",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"name\":\"n\"}"),
      .error = "\"model\" is required", .at = 12 },

    { .title = "our own fields",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"server_url\":\"http://a:1\",\"session_id\":\"s\","
                         "\"task_id\":\"t-1_A\",\"model\":\"m\"}"),
      .model = ngx_string("m"),
      .server_url = ngx_string("http://a:1"),
      .session_id = ngx_string("s"),
      .task_id = ngx_string("t-1_A"),
      .sent = ngx_string("{\"model\":\"m\"}") },

    { .title = "our own fields: the last wins, null leaves it",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"task_id\":\"a\",\"Task_ID\":\"b\",\"task_id\":"
                         "null,\"session_id\":null,\"model\":\"m\"}"),
      .model = ngx_string("m"),
      .task_id = ngx_string("b"),
      .sent = ngx_string("{\"model\":\"m\"}") },

    { .title = "our own fields: empty ones",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"server_url\":\"\",\"session_id\":\"\","
                         "\"model\":\"m\"}"),
      .model = ngx_string("m"),
      .sent = ngx_string("{\"model\":\"m\"}") },

    { .title = "our own fields: null",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"server_url\":null,\"session_id\":null,"
                         "\"task_id\":null,\"model\":\"m\"}"),
      .model = ngx_string("m"),
      .sent = ngx_string("{\"model\":\"m\"}") },

    { .title = "an empty task_id",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"m\",\"task_id\":\"\"}"),
      .error = "\"task_id\" must be 1 to 64 characters of A-Z a-z 0-9 _ -",
      .at = 23 },

    { .title = "a task_id with a slash",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"task_id\": \"a/b\",\"model\":\"m\"}"),
      .error = "\"task_id\" must be 1 to 64 characters of A-Z a-z 0-9 _ -",
      .at = 12 },

    { .title = "a task_id that an escape spoils",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"task_id\":\"a\\u000ab\",\"model\":\"m\"}"),
      .error = "\"task_id\" must be 1 to 64 characters of A-Z a-z 0-9 _ -",
      .at = 11 },

    { .title = "a bad task_id, though a good one follows",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"task_id\":\"a b\",\"task_id\":\"a\","
                         "\"model\":\"m\"}"),
      .error = "\"task_id\" must be 1 to 64 characters of A-Z a-z 0-9 _ -",
      .at = 11 },

    { .title = "content as an array where that is allowed",
      .flags = SCAN_V1,
      .body = ngx_string("{\"model\":\"m\",\"messages\":[{\"role\":\"user\","
                         "\"content\":[{\"type\":\"text\",\"text\":\"x\"},"
                         "{\"type\":\"image_url\",\"image_url\":{\"url\":"
                         "\"data:\"}}],\"images\":{}}]}"),
      .model = ngx_string("m") },

    { .title = "null for messages, for one, for what is in it",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"m\",\"messages\":null,\"messages\":"
                         "[null,{\"role\":null,\"content\":null,\"images\":"
                         "null},{\"images\":[null]}]}"),
      .model = ngx_string("m") },

    { .title = "fields of messages in other cases",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"m\",\"MESSAGES\":[{\"Content\":[]}]}"),
      .error = "\"content\" must be a string, not an array", .at = 36 },

    { .title = "deeper in messages any type goes",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"m\",\"messages\":[{\"tool_calls\":[{"
                         "\"function\":{\"name\":\"f\",\"arguments\":{\"role\":"
                         "1,\"content\":[],\"images\":{}}},\"role\":2}],"
                         "\"x\":{\"role\":3,\"images\":[4]},\"images\":"
                         "[\"a\"]}]}"),
      .model = ngx_string("m") },

    { .title = "a member of a message is forgotten with the message",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"m\",\"messages\":[{\"images\":[]}],"
                         "\"tools\":[[1]],\"x\":[[[[1]]]],\"options\":"
                         "{\"stop\":[[1,{}]]}}"),
      .model = ngx_string("m") },

    { .title = "the right type, after one that needs another",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"m\",\"stream\":true,\"x\":\"a\","
                         "\"options\":{\"x\":1},\"y\":[2],\"messages\":[{"
                         "\"role\":\"a\",\"x\":1,\"images\":[\"b\"],"
                         "\"y\":2}],\"z\":3}"),
      .model = ngx_string("m"),
      .stream = NGX_HTTP_OLLAMA_STREAM_ON },


    /* what is no object */

    { .title = "an empty body",
      .flags = SCAN_CHAT,
      .body = ngx_string(""),
      .error = "the body is empty", .at = 0 },

    { .title = "only whitespace",
      .flags = SCAN_CHAT,
      .body = ngx_string(" \r\n\t"),
      .error = "unexpected end", .at = 4 },

    { .title = "an array",
      .flags = SCAN_CHAT,
      .body = ngx_string(" [{\"model\":\"m\"}]"),
      .error = "the body must be an object, not an array", .at = 1 },

    { .title = "a string",
      .flags = SCAN_CHAT,
      .body = ngx_string("\"model\""),
      .error = "the body must be an object, not a string", .at = 0 },

    { .title = "a number",
      .flags = SCAN_CHAT,
      .body = ngx_string(" 12\n"),
      .error = "the body must be an object, not a number", .at = 1 },

    { .title = "a number up to the end",
      .flags = SCAN_CHAT,
      .body = ngx_string(" 12"),
      .error = "the body must be an object, not a number", .at = 1 },

    { .title = "a boolean",
      .flags = SCAN_CHAT,
      .body = ngx_string("false"),
      .error = "the body must be an object, not a boolean", .at = 0 },

    { .title = "null",
      .flags = SCAN_CHAT,
      .body = ngx_string("\nnull"),
      .error = "the body must be an object, not null", .at = 1 },

    { .title = "an empty object",
      .flags = SCAN_CHAT,
      .body = ngx_string("{ }\n"),
      .error = "\"model\" is required", .at = 3 },

    { .title = "a byte order mark",
      .flags = SCAN_CHAT,
      .body = ngx_string("\xef\xbb\xbf{\"model\":\"m\"}"),
      .error = "invalid char in json text", .at = 0 },

    { .title = "a form",
      .flags = SCAN_CHAT,
      .body = ngx_string("model=m&stream=false"),
      .error = "invalid char in json text", .at = 0 },

    { .title = "two objects",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"m\"}\n{\"model\":\"n\"}"),
      .model = ngx_string("m") },

    { .title = "a bracket too many",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"m\"} }"),
      .model = ngx_string("m") },

    { .title = "a number behind the object",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"m\"} 123"),
      .model = ngx_string("m") },

    { .title = "a string behind the object",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"m\"}\"n\""),
      .model = ngx_string("m") },

    { .title = "a NUL behind the object",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"m\"}\0"),
      .model = ngx_string("m") },

    { .title = "a form feed between",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\f\"m\"}"),
      .error = "invalid char in json text", .at = 9 },

    { .title = "a comma too many",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"m\",}"),
      .error = "invalid object key (must be a string)", .at = 13 },

    { .title = "a comma too few",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"m\" \"stream\":true}"),
      .error = "after key and value, inside map, I expect ',' or '}'",
      .at = 13 },

    { .title = "a comma too few, after a number",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"a\":1 true}"),
      .error = "after key and value, inside map, I expect ',' or '}'",
      .at = 7 },

    { .title = "an unquoted key",
      .flags = SCAN_CHAT,
      .body = ngx_string("{model:\"m\"}"),
      .error = "invalid char in json text", .at = 1 },

    { .title = "an array closed as an object",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"m\",\"a\":[1}"),
      .error = "after array element, I expect ',' or ']'", .at = 19 },

    { .title = "NaN",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"m\",\"a\":NaN}"),
      .error = "invalid char in json text", .at = 17 },

    { .title = "a type is wrong before the grammar is",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":1,,}"),
      .error = "\"model\" must be a string, not a number", .at = 9 },

    { .title = "the grammar is wrong before a type is",
      .flags = SCAN_CHAT,
      .body = ngx_string("{,\"model\":1}"),
      .error = "invalid object key (must be a string)", .at = 1 },

    { .title = "a bad escape in a value",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"a\\xb\"}"),
      .error = "an invalid escape in a string", .at = 12 },

    { .title = "a bad escape in a key",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"a\\'\":1}"),
      .error = "an invalid escape in a string", .at = 4 },

    { .title = "a bad \\u escape",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"\\u12\"}"),
      .error = "an invalid \\u escape in a string", .at = 14 },

    { .title = "a surrogate without its other half, first",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"\\ud83dx\"}"),
      .error = "\"model\" has half of a surrogate pair", .at = 9 },

    { .title = "a surrogate without its other half, last",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"x\\uDBFF\"}"),
      .error = "\"model\" has half of a surrogate pair", .at = 9 },

    { .title = "a surrogate without its first half",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"m\",\"session_id\":\"\\ude00\"}"),
      .error = "\"session_id\" has half of a surrogate pair", .at = 26 },

    { .title = "surrogates the wrong way round",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"\\ude00\\ud83d\"}"),
      .error = "\"model\" has half of a surrogate pair", .at = 9 },

    { .title = "surrogates with something between",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"\\ud83d\xc3\xa9\\ude00\"}"),
      .error = "\"model\" has half of a surrogate pair", .at = 9 },

    { .title = "three surrogates",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"\\ud83d\\ud83d\\ude00\"}"),
      .error = "\"model\" has half of a surrogate pair", .at = 9 },

    { .title = "a pair and a second half",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"\\ud83d\\ude00\\ude00\"}"),
      .error = "\"model\" has half of a surrogate pair", .at = 9 },

    { .title = "a surrogate before what isn't one",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"\\ud83d\\u0041\"}"),
      .error = "\"model\" has half of a surrogate pair", .at = 9 },

    { .title = "half pairs in what is not kept, and whole ones in what is",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"x\\ud83d\":\"\\ude00\",\"messages\":[{"
                         "\"content\":\"\\ud800\\\\u\"}],\"model\":\"\\ud83d"
                         "\\ude00\\ud83d\\ude00\"}"),
      .model = ngx_string("\xf0\x9f\x98\x80\xf0\x9f\x98\x80") },

    { .title = "a newline in a string",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"a\nb\"}"),
      .error = "a control character in a string", .at = 11 },

    { .title = "a NUL in a string",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"a\0b\"}"),
      .error = "a control character in a string", .at = 11 }
};


/* in the order of how an error names them */

static scan_value_t  scan_values[VALUES] = {
    { "null", "null" },
    { "false", "a boolean" },
    { "-12.5", "a number" },
    { "\"x\"", "a string" },
    { "{\"x\":[]}", "an object" },
    { "[null]", "an array" }
};


static scan_type_t  scan_types[] = {

    { "type of model", SCAN_CHAT,
      "{\"model\":", ",\"model\":\"m\"}", "a string", "model" },

    { "type of a second model", SCAN_CHAT,
      "{\"model\":\"m\", \"MODEL\" : ", "}", "a string", "model" },

    { "type of name", SCAN_SHOW,
      "{\"model\":\"m\",\"name\":", "}", "a string", "name" },

    { "type of name, where it isn't a model's", SCAN_CHAT,
      "{\"model\":\"m\",\"name\":", "}", NULL, NULL },

    { "type of stream", SCAN_CHAT,
      "{\"model\":\"m\",\"stream\":", ",\"stream\":null}", "a boolean",
      "stream" },

    { "type of stream, OpenAI's", SCAN_V1,
      "{\"model\":\"m\",\"Stream\":\n", ",\"a\":1}", "a boolean", "stream" },

    { "type of stream, where there is none", SCAN_SHOW,
      "{\"model\":\"m\",\"stream\":", "}", NULL, NULL },

    { "type of options", SCAN_CHAT,
      "{\"model\":\"m\",\"options\":", "}", "an object", "options" },

    { "type of options, where there are none", SCAN_V1,
      "{\"model\":\"m\",\"options\":", "}", NULL, NULL },

    { "type of messages", SCAN_CHAT,
      "{\"model\":\"m\",\"messages\":", "}", "an array", "messages" },

    { "type of messages, where there are none", SCAN_SHOW,
      "{\"model\":\"m\",\"messages\":", "}", NULL, NULL },

    { "type of server_url", SCAN_CHAT,
      "{\"model\":\"m\",\"server_url\":", ",\"server_url\":\"\"}", "a string",
      "server_url" },

    { "type of background", SCAN_CHAT,
      "{\"model\":\"m\",\"background\":", ",\"background\":null}",
      "a boolean", "background" },

    { "type of session_id, where it is the client's", SCAN_V1,
      "{\"model\":\"m\",\"session_id\":", "}", NULL, NULL },

    { "type of background, where it is the client's", SCAN_V1,
      "{\"model\":\"m\",\"background\":", "}", NULL, NULL },

    { "type of session_id", SCAN_CHAT,
      "{\"model\":\"m\",\"session_id\":", ",\"session_id\":\"\"}", "a string",
      "session_id" },

    { "type of task_id", SCAN_SHOW,
      "{\"model\":\"m\",\"Task_Id\":", "}", "a string", "task_id" },

    { "type of a message", SCAN_CHAT,
      "{\"model\":\"m\",\"messages\":[", "]}", "an object", "messages" },

    { "type of a further message", SCAN_V1,
      "{\"model\":\"m\",\"messages\":[{\"role\":\"a\"}, ", "]}", "an object",
      "messages" },

    { "type of role", SCAN_CHAT,
      "{\"model\":\"m\",\"messages\":[{\"role\":", "}]}", "a string",
      "role" },

    { "type of role, OpenAI's, in a further message", SCAN_V1,
      "{\"model\":\"m\",\"messages\":[{},{\"content\":[],\"role\":", "}]}",
      "a string", "role" },

    { "type of content", SCAN_CHAT,
      "{\"model\":\"m\",\"messages\":[{\"role\":\"a\",\"content\":",
      "},{}]}", "a string", "content" },

    { "type of content, where it may be anything", SCAN_V1,
      "{\"model\":\"m\",\"messages\":[{\"content\":", "}]}", NULL, NULL },

    { "type of images", SCAN_CHAT,
      "{\"model\":\"m\",\"messages\":[{\"images\":", "}]}", "an array",
      "images" },

    { "type of an image", SCAN_CHAT,
      "{\"model\":\"m\",\"messages\":[{\"images\":[\"\",", "]}]}",
      "a string", "images" },

    { "type of an image, where it may be anything", SCAN_V1,
      "{\"model\":\"m\",\"messages\":[{\"images\":[", "]}]}", NULL, NULL },

    { "type of what a field of a message has the name of", SCAN_CHAT,
      "{\"model\":\"m\",\"role\":1,\"content\":[],\"images\":{},\"options\":"
      "{\"role\":", "}}", NULL, NULL },

    { "type of a tool", SCAN_CHAT,
      "{\"model\":\"m\",\"tools\":[", "]}", NULL, NULL },

    { "type of the body", SCAN_CHAT,
      " ", "", "an object", NULL }
};


static scan_id_t  scan_ids[] = {
    { "task: one character", ngx_string("a"), 1 },
    { "task: all characters there are",
      ngx_string("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                 "0123456789"), 1 },
    { "task: the other two", ngx_string("-_"), 1 },
    { "task: 64 characters",
      ngx_string("0123456789abcdef0123456789abcdef"
                 "0123456789abcdef0123456789abcdef"), 1 },
    { "task: 65 characters",
      ngx_string("0123456789abcdef0123456789abcdef"
                 "0123456789abcdef0123456789abcdef0"), 0 },
    { "task: empty", ngx_string(""), 0 },
    { "task: a blank", ngx_string("a b"), 0 },
    { "task: a dot", ngx_string("a.b"), 0 },
    { "task: a slash", ngx_string("a/b"), 0 },
    { "task: a colon, above 9", ngx_string(":"), 0 },
    { "task: @ and [, around A-Z", ngx_string("@"), 0 },
    { "task: [", ngx_string("["), 0 },
    { "task: `", ngx_string("`"), 0 },
    { "task: {", ngx_string("{"), 0 },
    { "task: ^, which is ~ without a bit", ngx_string("^"), 0 },
    { "task: DEL, which is _ with a bit", ngx_string("\x7f"), 0 },
    { "task: a NUL", ngx_string("a\0"), 0 },
    { "task: a newline", ngx_string("a\n"), 0 },
    { "task: outside of ASCII", ngx_string("\xc3\xa9"), 0 }
};


static scan_path_t  scan_paths[] = {
    { "path: a field", "keep_alive", 1, { "keep_alive" } },
    { "path: in lower case", "Keep_ALIVE", 1, { "keep_alive" } },
    { "path: two", "options.Num_Ctx", 2, { "options", "num_ctx" } },
    { "path: four", "a.b.c.d", 4, { "a", "b", "c", "d" } },
    { "path: five", "a.b.c.d.e", 0, { NULL } },
    { "path: empty", "", 0, { NULL } },
    { "path: a dot", ".", 0, { NULL } },
    { "path: a dot first", ".a", 0, { NULL } },
    { "path: a dot last", "a.", 0, { NULL } },
    { "path: two dots", "a..b", 0, { NULL } },
    { "path: a dot behind four", "a.b.c.d.", 0, { NULL } },
    { "path: other characters", "a-b_c d", 1, { "a-b_c d" } }
};


static void
scan_type_test(void **state)
{
    scan_type_t *type = *state;

    char         body[256], error[256];
    size_t       len;
    ngx_uint_t   i;
    scan_run_t   run;
    scan_case_t  c;

    for (i = 0; i < VALUES; i++) {

        ngx_memzero(&c, sizeof(scan_case_t));

        len = snprintf(body, sizeof(body), "%s%s%s", type->before,
                       scan_values[i].text, type->after);

        c.flags = type->flags;
        c.body.data = (u_char *) body;
        c.body.len = len;

        if (type->must
            && strcmp(type->must, scan_values[i].type) != 0
            && (i || type->name == NULL))
        {
            if (type->name) {
                (void) snprintf(error, sizeof(error),
                                "\"%s\" must be %s, not %s", type->name,
                                type->must, scan_values[i].type);
            } else {
                (void) snprintf(error, sizeof(error),
                                "the body must be %s, not %s", type->must,
                                scan_values[i].type);
            }

            c.error = error;
            c.at = strlen(type->before);

        } else {
            /* taken: with what is found as in one piece, tested above */

            scan_start(&run, c.flags, NULL);
            scan_feed(&run, c.body.data, len);
            assert_int_equal(run.rc, NGX_OK);

            if (type->name == NULL && type->must) {
                /* no model in it */
                assert_int_equal(ngx_http_ollama_scan_end(&run.scan),
                                 NGX_DECLINED);
                scan_finish(&run);
                continue;
            }

            assert_int_equal(ngx_http_ollama_scan_end(&run.scan), NGX_OK);

            c.model = run.scan.model;
            c.server_url = run.scan.server_url;
            c.session_id = run.scan.session_id;
            c.task_id = run.scan.task_id;
            c.stream = run.scan.stream;

            assert_true((c.model.len == 1 && c.model.data[0] == 'm')
                        || strcmp(type->name, "model") == 0);

            c.sent.data = malloc(len);
            assert_non_null(c.sent.data);
            c.sent.len = scan_sent(&run, c.body.data, len, c.sent.data);
        }

        scan_case_test((void *[]) { &c });

        if (c.error == NULL) {
            free(c.sent.data);
            scan_finish(&run);
        }
    }
}


static void
scan_id_test(void **state)
{
    scan_id_t *id = *state;

    u_char     *p;
    ngx_str_t   copy;

    p = malloc(id->id.len ? id->id.len : 1);
    assert_non_null(p);
    memcpy(p, id->id.data, id->id.len);

    copy.data = p;
    copy.len = id->id.len;

    assert_int_equal(ngx_http_ollama_id_is_valid(&copy), id->valid);

    free(p);
}


static void
scan_path_test(void **state)
{
    scan_path_t *path = *state;

    ngx_str_t                  name;
    ngx_int_t                  rc;
    ngx_uint_t                 i;
    ngx_pool_t                *pool;
    ngx_http_ollama_forbid_t   forbid;

    pool = ngx_create_pool(4096, NULL);
    assert_non_null(pool);

    name.data = (u_char *) path->path;
    name.len = strlen(path->path);

    memset(&forbid, 0xa5, sizeof(ngx_http_ollama_forbid_t));

    rc = ngx_http_ollama_forbid_path(&forbid, pool, &name);

    if (path->n == 0) {
        assert_int_equal(rc, NGX_DECLINED);
        ngx_destroy_pool(pool);
        return;
    }

    assert_int_equal(rc, NGX_OK);
    assert_int_equal(forbid.n, path->n);
    assert_int_equal(forbid.name.len, name.len);
    assert_memory_equal(forbid.name.data, path->path, name.len);

    for (i = 0; i < path->n; i++) {
        assert_int_equal(forbid.segment[i].len, strlen(path->segment[i]));
        assert_memory_equal(forbid.segment[i].data, path->segment[i],
                            forbid.segment[i].len);
    }

    ngx_destroy_pool(pool);
}


static void
scan_path_memory_test(void **state)
{
    ngx_str_t                  name = ngx_string("options.num_ctx");
    ngx_pool_t                *pool;
    ngx_http_ollama_forbid_t   forbid;

    pool = ngx_create_pool(4096, NULL);
    assert_non_null(pool);

    ngx_stub_fail_size = name.len + 1;

    assert_int_equal(ngx_http_ollama_forbid_path(&forbid, pool, &name),
                     NGX_ERROR);

    ngx_stub_fail_size = 0;

    ngx_destroy_pool(pool);
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_add_rows(&suite, scan_case_test, scan_cases, sizeof(scan_case_t),
                  unit_nelts(scan_cases));
    unit_add_rows(&suite, scan_type_test, scan_types, sizeof(scan_type_t),
                  unit_nelts(scan_types));
    unit_add_rows(&suite, scan_id_test, scan_ids, sizeof(scan_id_t),
                  unit_nelts(scan_ids));
    unit_add_rows(&suite, scan_path_test, scan_paths, sizeof(scan_path_t),
                  unit_nelts(scan_paths));
    unit_add(&suite, "path: out of memory", scan_path_memory_test, NULL);

    return unit_run(&suite, "scan");
}
