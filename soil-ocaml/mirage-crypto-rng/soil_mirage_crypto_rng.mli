(** Soil's random numbers as a generator of [mirage-crypto-rng]: for keys, nonces and certificates
    of [mirage-crypto-pk], [mirage-crypto-ec], [x509] and what is built on them.

    {[
      let () =
        Soil.run @@ fun () ->
        Soil_mirage_crypto_rng.use_default ();
        let key = X509.Private_key.generate `ED25519 in
        …
    ]} *)

module Generator : Mirage_crypto_rng.Generator
(** [Soil.Random] itself: the machine's generator, which Soil seeds, and seeds again after a
    snapshot of the machine is resumed. It is always seeded, and ignores further seeds. Its
    functions wait only while entropy is collected after the machine's start, and raise [Soil.Error]
    with [No_entropy] if there is none. *)

val use_default : unit -> unit
(** [use_default ()] makes {!Generator} the default generator of [Mirage_crypto_rng]. Call it once,
    before the first use; no task has to be started to collect entropy. Waits for the first entropy,
    so that what comes later doesn't wait. Raises {!Soil.exception-Error} as [Soil.Random.fill]. *)
