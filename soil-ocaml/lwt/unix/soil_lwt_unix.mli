(** [Lwt_unix] on Soil's wait.

    [(libraries soil soil.lwt.unix)] in a program's dune file is sufficient: from the program's
    start Lwt's engine waits with {!Soil.Readiness}. Within {!Soil_lwt.run} it waits for the
    descriptors and timers of [Lwt_unix], [Lwt_io] and libraries on them together with tasks; a
    plain [Lwt_main.run] in one task also lets others run. Descriptors are in one epoll set
    (epoll(7)), so that the time of a wait doesn't depend on their number.

    In a process descriptors are Linux's. In an image they are those of its system calls; both have
    Soil's network, disks and console. Don't call [Lwt_main.run] within {!Soil_lwt.run}: it fails,
    like any nested one. *)
