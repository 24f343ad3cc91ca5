(** Soil's random numbers as a generator for [mirage-crypto-rng]: for keys, nonces and certificates
    of [mirage-crypto-pk], [mirage-crypto-ec], [x509] and libraries on them.

    {[
      let () =
        Soil.run @@ fun () ->
        Soil_mirage_crypto_rng.use_default ();
        let key = X509.Private_key.generate `ED25519 in
        …
    ]} *)

module Generator : Mirage_crypto_rng.Generator
(** [Soil.Random]: the machine's generator, which Soil seeds, and reseeds after the machine resumes
    from a snapshot. It is always seeded, and ignores further seeds. Its functions wait only while
    entropy is collected after the machine's start, and raise [Soil.Error] with [No_entropy] without
    any. *)

val use_default : unit -> unit
(** [use_default ()] makes {!Generator} the default generator of [Mirage_crypto_rng]. Call it once,
    before the first use; no task is needed to collect entropy. Waits for the first entropy, so that
    later calls don't wait. Raises {!Soil.exception-Error} as [Soil.Random.fill]. *)
