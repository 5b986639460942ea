/* SVM's timer: whoever waits is called at the first exit that is late enough, once, and what that decides is answered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "arch/x86/reg.h"
#include "arch/x86/svm.h"
#include "hv/timer.h"

static struct svm_cpu svm;
static struct cpu cpu;
static uint64_t now;
static unsigned ticks, answers;

uint64_t reg_rdtsc(void)
{
	return now;
}

void timer_tick(struct cpu *of)
{
	assert_ptr_equal(of, &cpu);
	assert_int_equal(answers, 0); /* it comes first */
	ticks++;
}

void answer_rest(struct cpu *of)
{
	assert_ptr_equal(of, &cpu);
	answers++;
}

static int setup(void **state)
{
	(void)state;
	svm = (struct svm_cpu){ .deadline = SVM_NEVER };
	cpu = (struct cpu){ .vendor = (struct vendor_cpu *)&svm };
	now = 1000;
	ticks = answers = 0;
	return 0;
}

static void no_deadline_is_never_due(void **state)
{
	(void)state;
	svm_look_at_clock(&cpu, SVM_NEVER - 1);
	svm_set_timer(&cpu, 50);
	svm_set_timer(&cpu, 0);
	svm_look_at_clock(&cpu, SVM_NEVER - 1);
	assert_int_equal(ticks + answers, 0);
}

static void who_waits_is_called_when_due(void **state)
{
	(void)state;
	svm_set_timer(&cpu, 50);
	svm_look_at_clock(&cpu, 1049);
	assert_int_equal(ticks, 0);
	svm_look_at_clock(&cpu, 1050);
	assert_int_equal(ticks, 1);
	assert_int_equal(answers, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(no_deadline_is_never_due, setup),
		cmocka_unit_test_setup(who_waits_is_called_when_due, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
