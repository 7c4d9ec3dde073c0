/* Compiles what `coalition freeze --c` printed, and prints the config's fingerprint. */
#include "rich.h"

#include <stdio.h>

int main(void)
{
    struct mk_id id = coa_coalition_id(&RICH_QUOTED_);
    char hex[MK_ID_HEX];

    puts(mk_id_hex(&id, hex));
    return 0;
}
