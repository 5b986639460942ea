/* The words that configuration is made of, and the sentence when one is wrong. */
#include "config_private.h"
#include "sentence.h"

bool config_bad(struct parser *p, const char *format, ...)
{
	va_list arguments;
	size_t length = sentence(p->error, CONFIG_ERROR_MAX, "%s, %s %u: ", p->source, p->unit, p->number);

	if (p->key)
		length += sentence(p->error + length, CONFIG_ERROR_MAX - length, "%s: ", p->key);
	va_start(arguments, format);
	sentence_v(p->error + length, CONFIG_ERROR_MAX - length, format, arguments);
	va_end(arguments);
	return false;
}

bool word_is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

size_t word_length(const char *text)
{
	size_t n = 0;

	while (text[n])
		n++;
	return n;
}

bool word_equal(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

const char *word_after(const char *text, const char *prefix)
{
	while (*prefix)
		if (*text++ != *prefix++)
			return NULL;
	return text;
}

char *word_trim(char *text)
{
	while (word_is_blank(*text))
		text++;
	for (size_t n = word_length(text); n && word_is_blank(text[n - 1]); n--)
		text[n - 1] = '\0';
	return text;
}

char *word_cut(char **rest, char separator)
{
	char *part = *rest;

	for (char *c = part; *c; c++) {
		if (*c == separator) {
			*c = '\0';
			*rest = c + 1;
			return part;
		}
	}
	*rest = NULL;
	return part;
}

bool word_copy(struct parser *p, char *to, size_t size, const char *from)
{
	size_t length = word_length(from);

	if (!length)
		return config_bad(p, "has no value.");
	if (length >= size)
		return config_bad(p, "is longer than %u characters.", (unsigned)size - 1);
	for (size_t i = 0; i <= length; i++)
		to[i] = from[i];
	return true;
}

static unsigned digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	if (c >= 'a' && c <= 'f')
		return (unsigned)(c - 'a') + 10;
	if (c >= 'A' && c <= 'F')
		return (unsigned)(c - 'A') + 10;
	return 16;
}

const char *word_read_number(const char *text, uint64_t max, uint64_t *value)
{
	const char *hex = word_after(text, "0x");
	unsigned base = hex ? 16 : 10;
	const char *start = hex ? hex : text;

	*value = 0;
	for (text = start; digit_value(*text) < base; text++) {
		unsigned digit = digit_value(*text);

		if (digit > max || *value > (max - digit) / base)
			return NULL;
		*value = *value * base + digit;
	}
	return text == start ? NULL : text;
}

bool word_number(const char *text, uint64_t max, uint64_t *value)
{
	const char *end = word_read_number(text, max, value);

	return end && !*end;
}
