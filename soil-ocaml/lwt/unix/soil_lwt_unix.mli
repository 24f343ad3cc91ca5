(** Lwt's Unix part on Soil's wait.

    [(libraries soil soil.lwt.unix)] in a program's dune file is all that is needed: from the
    program's start Lwt's engine is one that waits by {!Soil.Readiness}. Descriptors and timers of
    [Lwt_unix], [Lwt_io], and all that is built on them are then waited for together with tasks,
    within {!Soil_lwt.run}, and also by a plain [Lwt_main.run] in one task while others run.
    Descriptors are in one epoll set (epoll(7)), so that a wait takes as long with ten thousand of
    them as with one.

    In a process descriptors are Linux's. In an image they are those of its system calls; both have
    the network, the disks and the console that Soil has. Within {!Soil_lwt.run} don't call
    [Lwt_main.run]: it fails, as a second one does everywhere. *)
