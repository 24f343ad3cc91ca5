(** The console on the display.

    [(libraries soil soil-display.console)] in a program's dune file is sufficient:
    [soil run --display window --env SOIL_CONSOLE=display] then shows the image's output, and a
    crash report, on the first display. {!Soil_display} includes this library. It adds some 30 KB to
    an image, and does nothing in a process, which has its terminal. *)
