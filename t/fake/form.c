
/*
 * The text of frames and of whole replies in Ollama's and in OpenAI's
 * forms, as their Go structures would marshal.  All content is made in its
 * escaped form, so it can be put together without coding anything.
 */

#include "form.h"
#include "codec.h"
#include "events.h"


static void fake_form_created(fake_buf_t *b, fake_gen_t *g);
static void fake_form_unix(fake_buf_t *b, fake_gen_t *g);
static void fake_form_stats(fake_buf_t *b, fake_gen_t *g);
static void fake_form_usage(fake_buf_t *b, fake_gen_t *g);
static void fake_form_finish(fake_buf_t *b, fake_gen_t *g, int part);
static void fake_form_native(fake_buf_t *b, fake_gen_t *g, int part,
    int64_t i);
static void fake_form_v1_chat(fake_buf_t *b, fake_gen_t *g, int part,
    int64_t i);
static void fake_form_v1_chat_head(fake_buf_t *b, fake_gen_t *g);
static void fake_form_v1_completions(fake_buf_t *b, fake_gen_t *g, int part,
    int64_t i);
static void fake_form_v1_completions_tail(fake_buf_t *b, fake_gen_t *g);
static void fake_form_native_tool(fake_buf_t *b, fake_gen_t *g);
static void fake_form_v1_tool(fake_buf_t *b, fake_gen_t *g);
static void fake_form_native_whole(fake_buf_t *b, fake_gen_t *g);
static void fake_form_v1_whole(fake_buf_t *b, fake_gen_t *g);


#define FAKE_DIMENSIONS  8


static void
fake_form_created(fake_buf_t *b, fake_gen_t *g)
{
    fake_buf_str(b, "{\"model\":\"");
    fake_buf_str(b, g->name);
    fake_buf_str(b, "\",\"created_at\":\"");

    if (g->conf.stamp) {
        fake_buf_fmt(b, "%llu", (unsigned long long) fake_now_ns());

    } else {
        fake_buf_time(b);
    }

    fake_buf_str(b, "\"");
}


static void
fake_form_unix(fake_buf_t *b, fake_gen_t *g)
{
    if (g->conf.stamp) {
        fake_buf_fmt(b, "%llu", (unsigned long long) fake_now_ns());

    } else {
        fake_buf_fmt(b, "%ld", fake_unix_time());
    }
}


/* zeros are left out, as omitempty does; a duration never is zero */

static void
fake_form_stats(fake_buf_t *b, fake_gen_t *g)
{
    uint64_t  now, first;

    now = fake_now_ns();
    first = (g->first_ns < now) ? g->first_ns : now;

    fake_buf_fmt(b, ",\"total_duration\":%llu,\"load_duration\":%llu",
                 (unsigned long long) (now - g->start_ns + 1),
                 (unsigned long long) (g->load_ns + 1));

    if (g->conf.prompt_eval_count) {
        fake_buf_fmt(b, ",\"prompt_eval_count\":%lld",
                     (long long) g->conf.prompt_eval_count);
    }

    fake_buf_fmt(b, ",\"prompt_eval_duration\":%llu",
                 (unsigned long long) (first - g->work_ns + 1));

    if (fake_gen_eval_count(g)) {
        fake_buf_fmt(b, ",\"eval_count\":%lld",
                     (long long) fake_gen_eval_count(g));
    }

    fake_buf_fmt(b, ",\"eval_duration\":%llu",
                 (unsigned long long) (now - first + 1));
}


static void
fake_form_usage(fake_buf_t *b, fake_gen_t *g)
{
    long long  in, out;

    in = g->conf.prompt_eval_count;
    out = fake_gen_eval_count(g);

    fake_buf_fmt(b, "\"usage\":{\"prompt_tokens\":%lld,"
                    "\"completion_tokens\":%lld,\"total_tokens\":%lld}",
                 in, out, in + out);
}


static void
fake_form_finish(fake_buf_t *b, fake_gen_t *g, int part)
{
    if (part != FAKE_PART_DONE) {
        fake_buf_str(b, ",\"finish_reason\":null");
        return;
    }

    fake_buf_fmt(b, ",\"finish_reason\":\"%s\"",
                 g->tools_sent ? "tool_calls" : g->reason);
}


static void
fake_form_native_tool(fake_buf_t *b, fake_gen_t *g)
{
    fake_buf_str(b, ",\"tool_calls\":[{\"id\":\"" FAKE_TOOL_ID "\","
                    "\"function\":{\"index\":0,\"name\":\"");
    fake_gen_tool_name(b, g);
    fake_buf_str(b, "\",\"arguments\":");
    fake_gen_tool_args(b, g);
    fake_buf_str(b, "}}]");
}


static void
fake_form_v1_tool(fake_buf_t *b, fake_gen_t *g)
{
    fake_buf_str(b, ",\"tool_calls\":[{\"id\":\"" FAKE_TOOL_ID "\","
                    "\"index\":0,\"type\":\"function\",\"function\":"
                    "{\"name\":\"");
    fake_gen_tool_name(b, g);
    fake_buf_str(b, "\",\"arguments\":\"");
    fake_gen_tool_string(b, g);
    fake_buf_str(b, "\"}}]");
}


static void
fake_form_native(fake_buf_t *b, fake_gen_t *g, int part, int64_t i)
{
    int  chat;

    chat = (g->form == FAKE_FORM_CHAT);

    fake_form_created(b, g);
    fake_buf_str(b, chat ? ",\"message\":{\"role\":\"assistant\","
                           "\"content\":\"" : ",\"response\":\"");

    if (part == FAKE_PART_TEXT) {
        fake_gen_text(b, g, part, i);
    }

    fake_buf_str(b, "\"");

    if (part == FAKE_PART_THINKING) {
        fake_buf_str(b, ",\"thinking\":\"");
        fake_gen_text(b, g, part, i);
        fake_buf_str(b, "\"");
    }

    if (part == FAKE_PART_TOOL && chat) {
        fake_form_native_tool(b, g);
    }

    if (chat) {
        fake_buf_str(b, "}");
    }

    if (part != FAKE_PART_DONE) {
        fake_buf_str(b, ",\"done\":false}\n");
        return;
    }

    fake_buf_str(b, ",\"done\":true,\"done_reason\":\"stop\"");

    if (!chat) {
        fake_buf_str(b, ",\"context\":[1,2,3]");
    }

    fake_form_stats(b, g);
    fake_buf_str(b, "}\n");
}


static void
fake_form_v1_chat_head(fake_buf_t *b, fake_gen_t *g)
{
    fake_buf_fmt(b, "data: {\"id\":\"chatcmpl-%llu\","
                    "\"object\":\"chat.completion.chunk\",\"created\":",
                 (unsigned long long) g->id);
    fake_form_unix(b, g);
    fake_buf_str(b, ",\"model\":\"");
    fake_buf_str(b, g->name);
    fake_buf_str(b, "\",\"system_fingerprint\":\"fp_ollama\",\"choices\":[");
}


static void
fake_form_v1_chat(fake_buf_t *b, fake_gen_t *g, int part, int64_t i)
{
    fake_form_v1_chat_head(b, g);
    fake_buf_str(b, "{\"index\":0,\"delta\":{\"role\":\"assistant\","
                    "\"content\":\"");

    if (part == FAKE_PART_TEXT) {
        fake_gen_text(b, g, part, i);
    }

    fake_buf_str(b, "\"");

    if (part == FAKE_PART_THINKING) {
        fake_buf_str(b, ",\"reasoning\":\"");
        fake_gen_text(b, g, part, i);
        fake_buf_str(b, "\"");
    }

    if (part == FAKE_PART_TOOL) {
        fake_form_v1_tool(b, g);
        g->tools_sent = 1;
    }

    fake_buf_str(b, "}");
    fake_form_finish(b, g, part);
    fake_buf_str(b, "}]}\n\n");

    if (part != FAKE_PART_DONE) {
        return;
    }

    if (g->include_usage) {
        fake_form_v1_chat_head(b, g);
        fake_buf_str(b, "],");
        fake_form_usage(b, g);
        fake_buf_str(b, "}\n\n");
    }

    fake_buf_str(b, "data: [DONE]\n\n");
}


static void
fake_form_v1_completions_tail(fake_buf_t *b, fake_gen_t *g)
{
    fake_buf_str(b, "],\"model\":\"");
    fake_buf_str(b, g->name);
    fake_buf_str(b, "\",\"system_fingerprint\":\"fp_ollama\"");
}


static void
fake_form_v1_completions(fake_buf_t *b, fake_gen_t *g, int part, int64_t i)
{
    int  usage;

    /* with include_usage, every chunk has one, of zeros */

    for (usage = 0; usage <= (part == FAKE_PART_DONE && g->include_usage);
         usage++)
    {
        fake_buf_fmt(b, "data: {\"id\":\"cmpl-%llu\","
                        "\"object\":\"text_completion\",\"created\":",
                     (unsigned long long) g->id);
        fake_form_unix(b, g);
        fake_buf_str(b, ",\"choices\":[");

        if (!usage) {
            fake_buf_str(b, "{\"text\":\"");

            if (part == FAKE_PART_TEXT) {
                fake_gen_text(b, g, part, i);
            }

            fake_buf_str(b, "\",\"index\":0");
            fake_form_finish(b, g, part);
            fake_buf_str(b, "}");
        }

        fake_form_v1_completions_tail(b, g);

        if (usage) {
            fake_buf_str(b, ",");
            fake_form_usage(b, g);

        } else if (g->include_usage) {
            fake_buf_str(b, ",\"usage\":{\"prompt_tokens\":0,"
                            "\"completion_tokens\":0,\"total_tokens\":0}");
        }

        fake_buf_str(b, "}\n\n");
    }

    if (part == FAKE_PART_DONE) {
        fake_buf_str(b, "data: [DONE]\n\n");
    }
}


/* the next frame; the caller counts on */

void
fake_form_frame(fake_buf_t *b, fake_gen_t *g)
{
    int      part;
    int64_t  i;

    part = fake_gen_part(g, &i);

    switch (g->form) {

    case FAKE_FORM_V1_CHAT:
        fake_form_v1_chat(b, g, part, i);
        break;

    case FAKE_FORM_V1_COMPLETIONS:
        fake_form_v1_completions(b, g, part, i);
        break;

    case FAKE_FORM_V1_RESPONSES:
        fake_events_responses(b, g, part, i);
        break;

    case FAKE_FORM_V1_MESSAGES:
        fake_events_messages(b, g, part, i);
        break;

    default:
        fake_form_native(b, g, part, i);
    }
}


/*
 * An error amid a stream.  The /v1 writers read it as an empty answer:
 * OpenAI's clients get a chunk without content, the event forms nothing.
 */

void
fake_form_error(fake_buf_t *b, fake_gen_t *g, const char *text)
{
    switch (g->form) {

    case FAKE_FORM_V1_CHAT:
        fake_buf_fmt(b, "data: {\"id\":\"chatcmpl-%llu\","
                        "\"object\":\"chat.completion.chunk\",\"created\":"
                        "%ld,\"model\":\"\",\"system_fingerprint\":"
                        "\"fp_ollama\",\"choices\":[{\"index\":0,\"delta\":"
                        "{\"role\":\"assistant\",\"content\":\"\"},"
                        "\"finish_reason\":null}]}\n\n",
                     (unsigned long long) g->id, fake_unix_time());
        return;

    case FAKE_FORM_V1_COMPLETIONS:
        fake_buf_fmt(b, "data: {\"id\":\"cmpl-%llu\","
                        "\"object\":\"text_completion\",\"created\":%ld,"
                        "\"choices\":[{\"text\":\"\",\"index\":0,"
                        "\"finish_reason\":null}],\"model\":\"\","
                        "\"system_fingerprint\":\"fp_ollama\"}\n\n",
                     (unsigned long long) g->id, fake_unix_time());
        return;

    case FAKE_FORM_V1_RESPONSES:
    case FAKE_FORM_V1_MESSAGES:
        return;
    }

    fake_buf_str(b, "{\"error\":\"");
    fake_buf_json(b, text, strlen(text));
    fake_buf_str(b, "\"}\n");
}


static void
fake_form_native_whole(fake_buf_t *b, fake_gen_t *g)
{
    int  chat, load;

    chat = (g->form == FAKE_FORM_CHAT);
    load = (strcmp(g->reason, "stop") != 0);

    fake_form_created(b, g);
    fake_buf_str(b, chat ? ",\"message\":{\"role\":\"assistant\","
                           "\"content\":\"" : ",\"response\":\"");

    if (!load) {
        fake_gen_all(b, g, FAKE_PART_TEXT);
    }

    fake_buf_str(b, "\"");

    if (!load && g->conf.thinking) {
        fake_buf_str(b, ",\"thinking\":\"");
        fake_gen_all(b, g, FAKE_PART_THINKING);
        fake_buf_str(b, "\"");
    }

    if (!load && chat && g->conf.tool_calls) {
        fake_form_native_tool(b, g);
    }

    fake_buf_fmt(b, "%s,\"done\":true,\"done_reason\":\"%s\"",
                 chat ? "}" : "", g->reason);

    if (!load) {
        if (!chat) {
            fake_buf_str(b, ",\"context\":[1,2,3]");
        }

        fake_form_stats(b, g);
    }

    fake_buf_str(b, "}");
}


static void
fake_form_v1_whole(fake_buf_t *b, fake_gen_t *g)
{
    int  chat;

    chat = (g->form == FAKE_FORM_V1_CHAT);
    g->tools_sent = (chat && g->conf.tool_calls);

    fake_buf_fmt(b, "{\"id\":\"%s-%llu\",\"object\":\"%s\",\"created\":",
                 chat ? "chatcmpl" : "cmpl", (unsigned long long) g->id,
                 chat ? "chat.completion" : "text_completion");
    fake_form_unix(b, g);
    fake_buf_str(b, ",\"model\":\"");
    fake_buf_str(b, g->name);
    fake_buf_str(b, "\",\"system_fingerprint\":\"fp_ollama\",\"choices\":");
    fake_buf_str(b, chat ? "[{\"index\":0,\"message\":{\"role\":"
                           "\"assistant\",\"content\":\""
                         : "[{\"text\":\"");

    fake_gen_all(b, g, FAKE_PART_TEXT);

    fake_buf_str(b, "\"");

    if (chat && g->conf.thinking) {
        fake_buf_str(b, ",\"reasoning\":\"");
        fake_gen_all(b, g, FAKE_PART_THINKING);
        fake_buf_str(b, "\"");
    }

    if (g->tools_sent) {
        fake_form_v1_tool(b, g);
    }

    fake_buf_str(b, chat ? "}" : ",\"index\":0");
    fake_form_finish(b, g, FAKE_PART_DONE);
    fake_buf_str(b, "}],");
    fake_form_usage(b, g);
    fake_buf_str(b, "}\n");
}


/* a reply that isn't a stream */

void
fake_form_whole(fake_buf_t *b, fake_gen_t *g)
{
    switch (g->form) {

    case FAKE_FORM_V1_CHAT:
    case FAKE_FORM_V1_COMPLETIONS:
        fake_form_v1_whole(b, g);
        return;

    case FAKE_FORM_V1_RESPONSES:
        fake_events_responses_whole(b, g);
        return;

    case FAKE_FORM_V1_MESSAGES:
        fake_events_messages_whole(b, g);
        return;

    case FAKE_FORM_EMBED:
    case FAKE_FORM_EMBEDDINGS:
    case FAKE_FORM_V1_EMBEDDINGS:
        fake_form_embeddings(b, g);
        return;

    default:
        fake_form_native_whole(b, g);
    }
}


/* the same vector for every input, but for its first element */

void
fake_form_embeddings(fake_buf_t *b, fake_gen_t *g)
{
    int     k;
    float   vector[FAKE_DIMENSIONS];
    size_t  i;

    if (g->form == FAKE_FORM_EMBED) {
        fake_buf_fmt(b, "{\"model\":\"%s\",\"embeddings\":[", g->name);

    } else if (g->form == FAKE_FORM_EMBEDDINGS) {
        fake_buf_str(b, "{\"embedding\":");
        fake_buf_str(b, g->inputs ? "" : "[]");

    } else {
        fake_buf_str(b, "{\"object\":\"list\",\"data\":[");
    }

    for (i = 0; i < g->inputs; i++) {

        for (k = 0; k < FAKE_DIMENSIONS; k++) {
            vector[k] = (float) (k + 1) / 8;
        }

        vector[0] = (float) (i + 1);

        if (g->form == FAKE_FORM_V1_EMBEDDINGS) {
            fake_buf_fmt(b, "%s{\"object\":\"embedding\",\"embedding\":",
                         i ? "," : "");
        } else {
            fake_buf_str(b, i ? "," : "");
        }

        if (g->base64) {
            fake_buf_str(b, "\"");
            fake_base64(b, (unsigned char *) vector, sizeof(vector));
            fake_buf_str(b, "\"");

        } else {
            for (k = 0; k < FAKE_DIMENSIONS; k++) {
                fake_buf_fmt(b, "%s%g", k ? "," : "[", (double) vector[k]);
            }

            fake_buf_str(b, "]");
        }

        if (g->form == FAKE_FORM_V1_EMBEDDINGS) {
            fake_buf_fmt(b, ",\"index\":%zu}", i);
        }
    }

    if (g->form == FAKE_FORM_EMBED) {
        fake_buf_str(b, "]");

        if (g->inputs) {
            fake_buf_fmt(b, ",\"total_duration\":%llu,\"load_duration\":"
                            "%llu,\"prompt_eval_count\":%lld",
                         (unsigned long long) (fake_now_ns() - g->start_ns
                                               + 1),
                         (unsigned long long) (g->load_ns + 1),
                         (long long) g->conf.prompt_eval_count);
        }

        fake_buf_str(b, "}");

    } else if (g->form == FAKE_FORM_EMBEDDINGS) {
        fake_buf_str(b, "}");

    } else {
        fake_buf_fmt(b, "],\"model\":\"%s\",\"usage\":{\"prompt_tokens\":"
                        "%lld,\"total_tokens\":%lld}}\n", g->name,
                     (long long) g->conf.prompt_eval_count,
                     (long long) g->conf.prompt_eval_count);
    }
}
