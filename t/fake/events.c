
/*
 * The forms that are made of events: Anthropic's messages and OpenAI's
 * responses.  Both keep track of what is open, as Ollama's converters do.
 */

#include "events.h"


static void fake_event(fake_buf_t *b, const char *event);
static void fake_messages_start(fake_buf_t *b, fake_gen_t *g);
static void fake_messages_stop_block(fake_buf_t *b, fake_gen_t *g);
static void fake_messages_text(fake_buf_t *b, fake_gen_t *g, int part,
    int64_t i);
static void fake_messages_tool(fake_buf_t *b, fake_gen_t *g);
static void fake_responses_tail(fake_buf_t *b, fake_gen_t *g,
    const char *event);
static void fake_responses_object(fake_buf_t *b, fake_gen_t *g, int done);
static void fake_responses_output(fake_buf_t *b, fake_gen_t *g);
static void fake_responses_message(fake_buf_t *b, fake_gen_t *g);
static void fake_responses_call(fake_buf_t *b, fake_gen_t *g, int done);
static void fake_responses_reasoning(fake_buf_t *b, fake_gen_t *g);
static void fake_responses_end_thinking(fake_buf_t *b, fake_gen_t *g);
static void fake_responses_thinking(fake_buf_t *b, fake_gen_t *g,
    int64_t i);
static void fake_responses_text(fake_buf_t *b, fake_gen_t *g, int64_t i);
static void fake_responses_tool(fake_buf_t *b, fake_gen_t *g);
static void fake_responses_done(fake_buf_t *b, fake_gen_t *g);


/* the reply's number, in the ids */

#define fake_id(g)  ((unsigned long long) (g)->id)


static void
fake_event(fake_buf_t *b, const char *event)
{
    fake_buf_fmt(b, "event: %s\ndata: ", event);
}


static void
fake_messages_start(fake_buf_t *b, fake_gen_t *g)
{
    fake_event(b, "message_start");
    fake_buf_fmt(b, "{\"type\":\"message_start\",\"message\":{\"id\":"
                    "\"msg_%llu\",\"type\":\"message\",\"role\":"
                    "\"assistant\",\"model\":\"%s\",\"content\":[],"
                    "\"usage\":{\"input_tokens\":%lld,\"output_tokens\":0}}}"
                    "\n\n", fake_id(g), g->name,
                 (long long) g->conf.prompt_eval_count);
}


static void
fake_messages_stop_block(fake_buf_t *b, fake_gen_t *g)
{
    fake_event(b, "content_block_stop");
    fake_buf_fmt(b, "{\"type\":\"content_block_stop\",\"index\":%d}\n\n",
                 g->block);
}


static void
fake_messages_text(fake_buf_t *b, fake_gen_t *g, int part, int64_t i)
{
    int          start;
    const char  *what;

    if (part == FAKE_PART_THINKING) {
        what = "thinking";
        start = !g->thinking_open;
        g->thinking_open = 1;

    } else {
        what = "text";

        if (g->thinking_open && !g->thinking_closed) {
            g->thinking_closed = 1;
            fake_messages_stop_block(b, g);
            g->block++;
        }

        start = !g->text_open;
        g->text_open = 1;
    }

    if (start) {
        fake_event(b, "content_block_start");
        fake_buf_fmt(b, "{\"type\":\"content_block_start\",\"index\":%d,"
                        "\"content_block\":{\"type\":\"%s\",\"%s\":\"\"}}"
                        "\n\n", g->block, what, what);
    }

    fake_event(b, "content_block_delta");
    fake_buf_fmt(b, "{\"type\":\"content_block_delta\",\"index\":%d,"
                    "\"delta\":{\"type\":\"%s_delta\",\"%s\":\"", g->block,
                 what, what);
    fake_gen_text(b, g, part, i);
    fake_buf_str(b, "\"}}\n\n");
}


static void
fake_messages_tool(fake_buf_t *b, fake_gen_t *g)
{
    if (g->text_open) {
        fake_messages_stop_block(b, g);
        g->text_open = 0;
        g->block++;
    }

    fake_event(b, "content_block_start");
    fake_buf_fmt(b, "{\"type\":\"content_block_start\",\"index\":%d,"
                    "\"content_block\":{\"type\":\"tool_use\",\"id\":\""
                    FAKE_TOOL_ID "\",\"name\":\"", g->block);
    fake_gen_tool_name(b, g);
    fake_buf_str(b, "\",\"input\":{}}}\n\n");

    fake_event(b, "content_block_delta");
    fake_buf_fmt(b, "{\"type\":\"content_block_delta\",\"index\":%d,"
                    "\"delta\":{\"type\":\"input_json_delta\","
                    "\"partial_json\":\"", g->block);
    fake_gen_tool_string(b, g);
    fake_buf_str(b, "\"}}\n\n");

    fake_messages_stop_block(b, g);

    g->tools_sent = 1;
    g->block++;
}


void
fake_events_messages(fake_buf_t *b, fake_gen_t *g, int part, int64_t i)
{
    if (!g->started) {
        g->started = 1;
        fake_messages_start(b, g);
    }

    if (part == FAKE_PART_TOOL) {
        fake_messages_tool(b, g);
        return;
    }

    if (part != FAKE_PART_DONE) {
        fake_messages_text(b, g, part, i);
        return;
    }

    if (g->text_open || (g->thinking_open && !g->thinking_closed)) {
        fake_messages_stop_block(b, g);
    }

    fake_event(b, "message_delta");
    fake_buf_fmt(b, "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"
                    "\"%s\"},\"usage\":{\"input_tokens\":%lld,"
                    "\"output_tokens\":%lld}}\n\n",
                 g->tools_sent ? "tool_use" : "end_turn",
                 (long long) g->conf.prompt_eval_count,
                 (long long) fake_gen_eval_count(g));

    fake_event(b, "message_stop");
    fake_buf_str(b, "{\"type\":\"message_stop\"}\n\n");
}


void
fake_events_messages_whole(fake_buf_t *b, fake_gen_t *g)
{
    const char  *comma;

    comma = "";

    fake_buf_fmt(b, "{\"id\":\"msg_%llu\",\"type\":\"message\",\"role\":"
                    "\"assistant\",\"model\":\"%s\",\"content\":[",
                 fake_id(g), g->name);

    if (g->conf.thinking) {
        fake_buf_str(b, "{\"type\":\"thinking\",\"thinking\":\"");
        fake_gen_all(b, g, FAKE_PART_THINKING);
        fake_buf_str(b, "\"}");
        comma = ",";
    }

    if (g->conf.frames) {
        fake_buf_fmt(b, "%s{\"type\":\"text\",\"text\":\"", comma);
        fake_gen_all(b, g, FAKE_PART_TEXT);
        fake_buf_str(b, "\"}");
        comma = ",";
    }

    if (g->conf.tool_calls) {
        fake_buf_fmt(b, "%s{\"type\":\"tool_use\",\"id\":\"" FAKE_TOOL_ID
                        "\",\"name\":\"", comma);
        fake_gen_tool_name(b, g);
        fake_buf_str(b, "\",\"input\":");
        fake_gen_tool_args(b, g);
        fake_buf_str(b, "}");
    }

    fake_buf_fmt(b, "],\"stop_reason\":\"%s\",\"usage\":{\"input_tokens\":"
                    "%lld,\"output_tokens\":%lld}}\n",
                 g->conf.tool_calls ? "tool_use" : "end_turn",
                 (long long) g->conf.prompt_eval_count,
                 (long long) fake_gen_eval_count(g));
}


/* the keys of all these objects are sorted: in Go they are maps */

static void
fake_responses_tail(fake_buf_t *b, fake_gen_t *g, const char *event)
{
    fake_buf_fmt(b, ",\"sequence_number\":%d,\"type\":\"%s\"}\n\n",
                 g->sequence++, event);
}


static void
fake_responses_message(fake_buf_t *b, fake_gen_t *g)
{
    fake_buf_str(b, "{\"content\":[{\"annotations\":[],\"logprobs\":[],"
                    "\"text\":\"");
    fake_buf_add(b, g->text.data, g->text.len);
    fake_buf_fmt(b, "\",\"type\":\"output_text\"}],\"id\":\"msg_%llu\","
                    "\"role\":\"assistant\",\"status\":\"completed\","
                    "\"type\":\"message\"}", fake_id(g));
}


static void
fake_responses_reasoning(fake_buf_t *b, fake_gen_t *g)
{
    fake_buf_str(b, "{\"encrypted_content\":\"");
    fake_buf_add(b, g->thought.data, g->thought.len);
    fake_buf_fmt(b, "\",\"id\":\"rs_%llu\",\"summary\":[{\"text\":\"",
                 fake_id(g));
    fake_buf_add(b, g->thought.data, g->thought.len);
    fake_buf_str(b, "\",\"type\":\"summary_text\"}],"
                    "\"type\":\"reasoning\"}");
}


static void
fake_responses_call(fake_buf_t *b, fake_gen_t *g, int done)
{
    fake_buf_str(b, "{\"arguments\":\"");

    if (done) {
        fake_gen_tool_string(b, g);
    }

    fake_buf_fmt(b, "\",\"call_id\":\"" FAKE_TOOL_ID "\",\"id\":"
                    "\"fc_%llu_0\",\"name\":\"", fake_id(g));
    fake_gen_tool_name(b, g);
    fake_buf_fmt(b, "\",\"status\":\"%s\",\"type\":\"function_call\"}",
                 done ? "completed" : "in_progress");
}


static void
fake_responses_output(fake_buf_t *b, fake_gen_t *g)
{
    const char  *comma;

    comma = "";

    if (g->thinking_open) {
        fake_responses_reasoning(b, g);
        comma = ",";
    }

    if (g->tools_sent) {
        fake_buf_str(b, comma);
        fake_responses_call(b, g, 1);

    } else if (g->text_open) {
        fake_buf_str(b, comma);
        fake_responses_message(b, g);
    }
}


static void
fake_responses_object(fake_buf_t *b, fake_gen_t *g, int done)
{
    long        now;
    long long   in, out;

    now = fake_unix_time();
    in = g->conf.prompt_eval_count;
    out = fake_gen_eval_count(g);

    fake_buf_str(b, "{\"background\":false,\"completed_at\":");

    if (done) {
        fake_buf_fmt(b, "%ld", now);

    } else {
        fake_buf_str(b, "null");
    }

    fake_buf_fmt(b, ",\"created_at\":%ld,\"error\":null,"
                    "\"frequency_penalty\":0,\"id\":\"resp_%llu\","
                    "\"incomplete_details\":null,\"instructions\":null,"
                    "\"max_output_tokens\":null,\"max_tool_calls\":null,"
                    "\"metadata\":{},\"model\":\"%s\",\"object\":"
                    "\"response\",\"output\":[", now, fake_id(g), g->name);

    if (done) {
        fake_responses_output(b, g);
    }

    fake_buf_fmt(b, "],\"parallel_tool_calls\":true,\"presence_penalty\":0,"
                    "\"previous_response_id\":null,\"prompt_cache_key\":null,"
                    "\"reasoning\":null,\"safety_identifier\":null,"
                    "\"service_tier\":\"default\",\"status\":\"%s\","
                    "\"store\":false,\"temperature\":1,\"text\":{\"format\":"
                    "{\"type\":\"text\"}},\"tool_choice\":\"auto\","
                    "\"tools\":[],\"top_logprobs\":0,\"top_p\":1,"
                    "\"truncation\":\"disabled\",\"usage\":",
                 done ? "completed" : "in_progress");

    if (done) {
        fake_buf_fmt(b, "{\"input_tokens\":%lld,\"input_tokens_details\":"
                        "{\"cached_tokens\":0},\"output_tokens\":%lld,"
                        "\"output_tokens_details\":{\"reasoning_tokens\":0},"
                        "\"total_tokens\":%lld}}", in, out, in + out);

    } else {
        fake_buf_str(b, "null}");
    }
}


static void
fake_responses_end_thinking(fake_buf_t *b, fake_gen_t *g)
{
    if (!g->thinking_open || g->thinking_closed) {
        return;
    }

    g->thinking_closed = 1;

    fake_event(b, "response.reasoning_summary_text.done");
    fake_buf_fmt(b, "{\"item_id\":\"rs_%llu\",\"output_index\":%d",
                 fake_id(g), g->block);
    fake_buf_fmt(b, ",\"sequence_number\":%d,\"summary_index\":0,"
                    "\"text\":\"", g->sequence++);
    fake_buf_add(b, g->thought.data, g->thought.len);
    fake_buf_str(b, "\",\"type\":\"response.reasoning_summary_text.done\"}"
                    "\n\n");

    fake_event(b, "response.output_item.done");
    fake_buf_str(b, "{\"item\":");
    fake_responses_reasoning(b, g);
    fake_buf_fmt(b, ",\"output_index\":%d", g->block);
    fake_responses_tail(b, g, "response.output_item.done");

    g->block++;
}


static void
fake_responses_thinking(fake_buf_t *b, fake_gen_t *g, int64_t i)
{
    if (!g->thinking_open) {
        g->thinking_open = 1;

        fake_event(b, "response.output_item.added");
        fake_buf_fmt(b, "{\"item\":{\"id\":\"rs_%llu\",\"summary\":[],"
                        "\"type\":\"reasoning\"},\"output_index\":%d",
                     fake_id(g), g->block);
        fake_responses_tail(b, g, "response.output_item.added");
    }

    fake_gen_text(&g->thought, g, FAKE_PART_THINKING, i);

    fake_event(b, "response.reasoning_summary_text.delta");
    fake_buf_str(b, "{\"delta\":\"");
    fake_gen_text(b, g, FAKE_PART_THINKING, i);
    fake_buf_fmt(b, "\",\"item_id\":\"rs_%llu\",\"output_index\":%d,"
                    "\"sequence_number\":%d,\"summary_index\":0,\"type\":"
                    "\"response.reasoning_summary_text.delta\"}\n\n",
                 fake_id(g), g->block, g->sequence++);
}


static void
fake_responses_text(fake_buf_t *b, fake_gen_t *g, int64_t i)
{
    fake_responses_end_thinking(b, g);

    if (!g->text_open) {
        g->text_open = 1;

        fake_event(b, "response.output_item.added");
        fake_buf_fmt(b, "{\"item\":{\"content\":[],\"id\":\"msg_%llu\","
                        "\"role\":\"assistant\",\"status\":\"in_progress\","
                        "\"type\":\"message\"},\"output_index\":%d",
                     fake_id(g), g->block);
        fake_responses_tail(b, g, "response.output_item.added");

        fake_event(b, "response.content_part.added");
        fake_buf_fmt(b, "{\"content_index\":0,\"item_id\":\"msg_%llu\","
                        "\"output_index\":%d,\"part\":{\"annotations\":[],"
                        "\"logprobs\":[],\"text\":\"\",\"type\":"
                        "\"output_text\"}", fake_id(g), g->block);
        fake_responses_tail(b, g, "response.content_part.added");
    }

    /* a flood isn't kept */

    if (g->conf.fault != FAKE_FAULT_FLOOD) {
        fake_gen_text(&g->text, g, FAKE_PART_TEXT, i);
    }

    fake_event(b, "response.output_text.delta");
    fake_buf_str(b, "{\"content_index\":0,\"delta\":\"");
    fake_gen_text(b, g, FAKE_PART_TEXT, i);
    fake_buf_fmt(b, "\",\"item_id\":\"msg_%llu\",\"logprobs\":[],"
                    "\"output_index\":%d", fake_id(g), g->block);
    fake_responses_tail(b, g, "response.output_text.delta");
}


static void
fake_responses_tool(fake_buf_t *b, fake_gen_t *g)
{
    int  done;

    fake_responses_end_thinking(b, g);

    for (done = 0; done < 2; done++) {

        if (done) {
            fake_event(b, "response.function_call_arguments.delta");
            fake_buf_str(b, "{\"delta\":\"");
            fake_gen_tool_string(b, g);
            fake_buf_fmt(b, "\",\"item_id\":\"fc_%llu_0\","
                            "\"output_index\":%d", fake_id(g), g->block);
            fake_responses_tail(b, g,
                                "response.function_call_arguments.delta");

            fake_event(b, "response.function_call_arguments.done");
            fake_buf_str(b, "{\"arguments\":\"");
            fake_gen_tool_string(b, g);
            fake_buf_fmt(b, "\",\"item_id\":\"fc_%llu_0\","
                            "\"output_index\":%d", fake_id(g), g->block);
            fake_responses_tail(b, g,
                                "response.function_call_arguments.done");
        }

        fake_event(b, done ? "response.output_item.done"
                           : "response.output_item.added");
        fake_buf_str(b, "{\"item\":");
        fake_responses_call(b, g, done);
        fake_buf_fmt(b, ",\"output_index\":%d", g->block);
        fake_responses_tail(b, g, done ? "response.output_item.done"
                                       : "response.output_item.added");
    }

    g->tools_sent = 1;
}


static void
fake_responses_done(fake_buf_t *b, fake_gen_t *g)
{
    fake_responses_end_thinking(b, g);

    if (g->text_open && !g->tools_sent) {
        fake_event(b, "response.output_text.done");
        fake_buf_fmt(b, "{\"content_index\":0,\"item_id\":\"msg_%llu\","
                        "\"logprobs\":[],\"output_index\":%d,"
                        "\"sequence_number\":%d,\"text\":\"", fake_id(g),
                     g->block, g->sequence++);
        fake_buf_add(b, g->text.data, g->text.len);
        fake_buf_str(b, "\",\"type\":\"response.output_text.done\"}\n\n");

        fake_event(b, "response.content_part.done");
        fake_buf_fmt(b, "{\"content_index\":0,\"item_id\":\"msg_%llu\","
                        "\"output_index\":%d,\"part\":{\"annotations\":[],"
                        "\"logprobs\":[],\"text\":\"", fake_id(g), g->block);
        fake_buf_add(b, g->text.data, g->text.len);
        fake_buf_str(b, "\",\"type\":\"output_text\"}");
        fake_responses_tail(b, g, "response.content_part.done");

        fake_event(b, "response.output_item.done");
        fake_buf_str(b, "{\"item\":");
        fake_responses_message(b, g);
        fake_buf_fmt(b, ",\"output_index\":%d", g->block);
        fake_responses_tail(b, g, "response.output_item.done");
    }

    fake_event(b, "response.completed");
    fake_buf_str(b, "{\"response\":");
    fake_responses_object(b, g, 1);
    fake_responses_tail(b, g, "response.completed");
}


void
fake_events_responses(fake_buf_t *b, fake_gen_t *g, int part, int64_t i)
{
    if (!g->started) {
        g->started = 1;

        fake_event(b, "response.created");
        fake_buf_str(b, "{\"response\":");
        fake_responses_object(b, g, 0);
        fake_responses_tail(b, g, "response.created");

        fake_event(b, "response.in_progress");
        fake_buf_str(b, "{\"response\":");
        fake_responses_object(b, g, 0);
        fake_responses_tail(b, g, "response.in_progress");
    }

    switch (part) {

    case FAKE_PART_THINKING:
        fake_responses_thinking(b, g, i);
        break;

    case FAKE_PART_TEXT:
        fake_responses_text(b, g, i);
        break;

    case FAKE_PART_TOOL:
        fake_responses_tool(b, g);
        break;

    default:
        fake_responses_done(b, g);
    }
}


void
fake_events_responses_whole(fake_buf_t *b, fake_gen_t *g)
{
    fake_gen_all(&g->thought, g, FAKE_PART_THINKING);
    fake_gen_all(&g->text, g, FAKE_PART_TEXT);

    g->thinking_open = (g->conf.thinking > 0);
    g->text_open = 1;
    g->tools_sent = (g->conf.tool_calls != 0);

    fake_responses_object(b, g, 1);
    fake_buf_str(b, "\n");
}
