/* Signals to the program itself, which OCaml has in Unix alone. */

#define CAML_INTERNALS
#include <caml/mlvalues.h>
#include <caml/signals.h>
#include <signal.h>
#include <unistd.h>

value test_send(value number)
{
    kill(getpid(), caml_convert_signal_number(Int_val(number)));
    return Val_unit;
}
