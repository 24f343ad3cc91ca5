/* What foreign.ml binds. */
#include <string.h>

struct point { double x, y; };

static inline struct point middle(struct point a, struct point b)
{
  return (struct point){ (a.x + b.x) / 2, (a.y + b.y) / 2 };
}

static inline long sum(const int *numbers, int count)
{
  long total = 0;
  for (int i = 0; i < count; i++) total += numbers[i];
  return total;
}
