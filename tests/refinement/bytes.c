/*
 * Plans as bytes, for the fuzzer and its corpus: a header, then 16 bytes a step. A field outside its range is taken
 * modulo the range, but none is stored so. New kinds of steps go to the end of their enum, new fields where there was
 * room: so a stored plan stays the same plan.
 */
#include <string.h>

#include "hv/bits.h"
#include "plan.h"

#define HEADER     16
#define STEP       16
#define MAX_EVENTS 3
#define EVENT      4

enum { PLAN_X2APIC = 1, PLAN_SAVES_CTRL = 2, PLAN_RDPMC_DIRECT = 4, PLAN_SKIDS = 8 };
/* From bit 4 on: */
enum { PLAN_MODEL_SHIFT = 4, PLAN_MODEL = 3, PLAN_PEBS_OFF = 64, PLAN_AMD = 128 };
enum { EVENT_USER = 1, EVENT_KERNEL = 2, EVENT_GUEST = 4, EVENT_HOST = 8 };
enum { STEP_USER = 1, STEP_LATE = 2 };

static const uint32_t fixed[] = { 0, 0x8, 0xc };
static const enum config_lbr owners[] = { CONFIG_LBR_GUEST, CONFIG_LBR_HOST, CONFIG_LBR_BOTH };

#define OWNER 16 /* in bytes[1] */

static uint64_t load(const uint8_t *bytes, unsigned size)
{
	uint64_t value = 0;

	memcpy(&value, bytes, size);
	return value;
}

static void store(uint8_t *bytes, uint64_t value, unsigned size)
{
	memcpy(bytes, &value, size);
}

static void decode_event(struct config_event *event, const uint8_t *bytes)
{
	*event = plan_events[bytes[0] % NR_PLAN_EVENTS];
	event->user = bytes[1] & EVENT_USER;
	event->kernel = bytes[1] & EVENT_KERNEL;
	event->guest = bytes[1] & EVENT_GUEST;
	event->host = bytes[1] & EVENT_HOST;
	event->period = load(bytes + 2, 2) % 4096;
}

static void encode_event(const struct config_event *event, uint8_t *bytes)
{
	for (uint8_t i = 0; i < NR_PLAN_EVENTS; i++) {
		if (plan_events[i].event == event->event)
			bytes[0] = i;
	}
	bytes[1] |= event->user ? EVENT_USER : 0;
	bytes[1] |= event->kernel ? EVENT_KERNEL : 0;
	bytes[1] |= event->guest ? EVENT_GUEST : 0;
	bytes[1] |= event->host ? EVENT_HOST : 0;
	store(bytes + 2, event->period, 2);
}

static unsigned decode_model(uint8_t byte)
{
	unsigned model = byte >> PLAN_MODEL_SHIFT & PLAN_MODEL;

	if (!(byte & PLAN_AMD))
		return model % NR_PLAN_MODELS_INTEL;
	return NR_PLAN_MODELS_INTEL + model % (NR_PLAN_MODELS - NR_PLAN_MODELS_INTEL);
}

static uint8_t encode_model(unsigned model)
{
	if (model < NR_PLAN_MODELS_INTEL)
		return (uint8_t)(model << PLAN_MODEL_SHIFT);
	return (uint8_t)(PLAN_AMD | (model - NR_PLAN_MODELS_INTEL) << PLAN_MODEL_SHIFT);
}

static void decode_header(struct plan *plan, const uint8_t *bytes)
{
	struct hv_config *config = &plan->config;

	config->host_counters = 1 + bytes[0] % MAX_EVENTS;
	config->host_fixed = fixed[bytes[1] % OWNER % ARRAY_SIZE(fixed)];
	config->nr_events = bytes[2] % (config->host_counters + 1);
	plan->x2apic = bytes[3] & PLAN_X2APIC;
	plan->saves_ctrl = bytes[3] & PLAN_SAVES_CTRL;
	plan->skids = bytes[3] & PLAN_SKIDS;
	plan->model = decode_model(bytes[3]);
	config->pebs = bytes[3] & PLAN_PEBS_OFF ? CONFIG_PEBS_OFF : CONFIG_PEBS_AUTO;
	config->lbr = owners[bytes[1] / OWNER % ARRAY_SIZE(owners)];
	config->rdpmc = bytes[3] & PLAN_RDPMC_DIRECT ? CONFIG_RDPMC_DIRECT : CONFIG_RDPMC_TRAP;
	for (unsigned i = 0; i < config->nr_events; i++)
		decode_event(&config->events[i], bytes + 4 + EVENT * i);
}

static void encode_header(const struct plan *plan, uint8_t *bytes)
{
	const struct hv_config *config = &plan->config;

	bytes[0] = (uint8_t)(config->host_counters - 1);
	for (uint8_t i = 0; i < ARRAY_SIZE(fixed); i++) {
		if (fixed[i] == config->host_fixed)
			bytes[1] = i;
	}
	bytes[2] = (uint8_t)config->nr_events;
	for (uint8_t i = 0; i < ARRAY_SIZE(owners); i++) {
		if (owners[i] == config->lbr)
			bytes[1] = (uint8_t)(bytes[1] + i * OWNER);
	}
	bytes[3] |= encode_model(plan->model);
	bytes[3] |= config->pebs == CONFIG_PEBS_OFF ? PLAN_PEBS_OFF : 0;
	bytes[3] |= plan->x2apic ? PLAN_X2APIC : 0;
	bytes[3] |= plan->saves_ctrl ? PLAN_SAVES_CTRL : 0;
	bytes[3] |= plan->skids ? PLAN_SKIDS : 0;
	bytes[3] |= config->rdpmc == CONFIG_RDPMC_DIRECT ? PLAN_RDPMC_DIRECT : 0;
	for (unsigned i = 0; i < config->nr_events; i++)
		encode_event(&config->events[i], bytes + 4 + EVENT * i);
}

static void decode_step(struct step *step, const uint8_t *bytes)
{
	step->kind = bytes[0] % NR_STEP_KINDS;
	step->cpl = bytes[1] & STEP_USER ? 3 : 0;
	step->late = bytes[1] & STEP_LATE;
	step->root = bytes[2] % 100;
	step->skid = bytes[3] % (PLAN_MAX_SKID + 1);
	step->index = (uint32_t)load(bytes + 4, 4);
	step->value = load(bytes + 8, 8);
}

static void encode_step(const struct step *step, uint8_t *bytes)
{
	bytes[0] = (uint8_t)step->kind;
	bytes[1] = (uint8_t)((step->cpl ? STEP_USER : 0) | (step->late ? STEP_LATE : 0));
	bytes[2] = (uint8_t)step->root;
	bytes[3] = (uint8_t)step->skid;
	store(bytes + 4, step->index, 4);
	store(bytes + 8, step->value, 8);
}

void plan_decode(struct plan *plan, const uint8_t *bytes, size_t size)
{
	uint8_t header[HEADER] = { 0 };

	memset(plan, 0, sizeof(*plan));
	memcpy(header, bytes, size < HEADER ? size : HEADER);
	decode_header(plan, header);
	for (size_t at = HEADER; at + STEP <= size && plan->nr_steps < PLAN_MAX_STEPS; at += STEP)
		decode_step(&plan->steps[plan->nr_steps++], bytes + at);
	plan_allow(plan);
}

size_t plan_encode(const struct plan *plan, uint8_t *bytes)
{
	size_t size = HEADER + STEP * (size_t)plan->nr_steps;

	memset(bytes, 0, size);
	encode_header(plan, bytes);
	for (unsigned i = 0; i < plan->nr_steps; i++)
		encode_step(&plan->steps[i], bytes + HEADER + STEP * i);
	return size;
}
