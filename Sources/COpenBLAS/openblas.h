// Debian's OpenBLAS, of which only matrix products are used. It is linked statically, by TextEmbedding's settings.
#include <cblas.h>
