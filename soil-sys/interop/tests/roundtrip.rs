//! Rust calls OCaml, which calls Soil's functions through the generated externals and returns the
//! results.

use ocaml_interop::{OCamlInt, OCamlRuntime, ToOCaml, ocaml};
use soil_sys::abi;

ocaml! {
    fn roundtrip(text: String) -> String;
    fn hostile(off: OCamlInt, len: OCamlInt) -> OCamlInt;
    fn park(token: OCamlInt) -> OCamlInt;
}

/// Boundary values, such as the limits of the integer types.
const NUMBERS: [i64; 14] = [
    0,
    1,
    2,
    8,
    15,
    16,
    17,
    255,
    -1,
    -2,
    1 << 40,
    (1 << 62) - 1,
    -(1 << 62),
    (1 << 62) - 16,
];

#[test]
fn rust_calls_ocaml_and_ocaml_calls_rust() {
    assert_eq!(abi::soil_abi_version(), abi::SOIL_ABI);
    // The runtime lives until the process exits: ocaml-interop's boxroot reads freed memory when
    // OCaml 5.4 shuts down (`caml_domain_terminate`).
    core::mem::forget(OCamlRuntime::init().expect("the first start"));
    OCamlRuntime::with_domain_lock(|cr| {
        let text = "Grüße, 1234567890 ".repeat(40).to_string();
        let sent = text.to_boxroot(cr);
        let back: String = roundtrip(cr, &sent).to_rust(cr);
        assert_eq!(back, text);

        for off in NUMBERS {
            for len in NUMBERS {
                let (a, b) = (off.to_boxroot(cr), len.to_boxroot(cr));
                let wrong: i64 = hostile(cr, &a, &b).to_rust(cr);
                assert_eq!(wrong, 0, "offset {off}, length {len}");
            }
        }

        // Of the first domain; the bits above are other domains'.
        let last = i64::from(u32::MAX);
        for token in [1, 77, last] {
            let given = token.to_boxroot(cr);
            let got: i64 = park(cr, &given).to_rust(cr);
            assert_eq!(got, token);
        }
    });
}
