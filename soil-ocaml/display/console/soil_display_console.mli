(** The console on the display.

    [(libraries soil soil.display.console)] in a program's dune file is all that is needed:
    [soil run --display window --env SOIL_CONSOLE=display] then shows on the first display what the
    image prints, and the report if it crashes. {!Soil_display} has this library. It makes an image
    some 30 KB larger, and does nothing in a process, which has its terminal. *)
