#include "sentence.h"

struct writer {
	char *out;
	size_t size, length;
};

static void put_char(struct writer *w, char c)
{
	if (w->length + 1 < w->size)
		w->out[w->length++] = c;
}

static void put_string(struct writer *w, const char *text)
{
	for (unsigned i = 0; text[i] && i < SENTENCE_WORD_MAX; i++)
		put_char(w, text[i]);
}

static void put_unsigned(struct writer *w, unsigned value, unsigned base)
{
	char digits[10]; /* 4294967295 */
	unsigned n = 0;

	do {
		digits[n++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	while (n)
		put_char(w, digits[--n]);
}

size_t sentence_v(char *out, size_t size, const char *format, va_list arguments)
{
	struct writer w = { .out = out, .size = size };

	for (; *format; format++) {
		if (*format != '%') {
			put_char(&w, *format);
			continue;
		}
		switch (*++format) {
		case 's': put_string(&w, va_arg(arguments, const char *)); break;
		case 'u': put_unsigned(&w, va_arg(arguments, unsigned), 10); break;
		case 'x': put_unsigned(&w, va_arg(arguments, unsigned), 16); break;
		case '%': put_char(&w, '%'); break;
		}
	}
	out[w.length] = '\0';
	return w.length;
}

size_t sentence(char *out, size_t size, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	size_t length = sentence_v(out, size, format, arguments);

	va_end(arguments);
	return length;
}
