//! Hashes of passwords by argon2id (RFC 9106), of the crate `argon2`, as strings in the PHC format.
//!
//! A hash takes tens of milliseconds, in memory of the caller's, while other OCaml threads run. So
//! all strings of OCaml's are copied before: the collector may move them.

use crate::current::Current;
use crate::types::Int;
use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};
use core::fmt::Write;
use heapless::String;
use platform::Wait;
use platform::error::{Answer, Error};

/// The length of a new hash in bytes.
const OUTPUT: usize = 32;
/// The longest string of a hash: numbers of ten digits, and 48 bytes of salt.
const MAX_LENGTH: usize = 192;

fn invalid<E>(_: E) -> Error {
    Error::Invalid
}

/// Parses a hash; `None` unless it is of argon2id and complete.
fn parse(hash: &str) -> Option<(Params, Salt, Output)> {
    let hash = PasswordHash::new(hash).ok()?;
    if hash.algorithm != ARGON2ID_IDENT || hash.version != Some(Version::V0x13.into()) {
        return None;
    }
    Some((Params::try_from(&hash).ok()?, hash.salt?, hash.hash?))
}

/// See `soil_password_parameter`.
pub fn parameter(hash: &str, which: Int) -> Answer {
    let (params, ..) = parse(hash).ok_or(Error::Invalid)?;
    Ok(match which {
        0 => params.m_cost() as usize,
        1 => params.t_cost() as usize,
        2 => params.p_cost() as usize,
        _ => return Err(Error::Invalid.into()),
    })
}

/// Computes a hash in `work`, which is zeros then.
fn compute(
    work: &mut [u8],
    password: &[u8],
    salt: &[u8],
    params: Params,
    into: &mut [u8],
) -> Result<(), Error> {
    let rest = work
        .len()
        .checked_sub(password.len())
        .ok_or(Error::Invalid)?;
    let (memory, copy) = work.split_at_mut(rest);
    copy.copy_from_slice(password);
    // SAFETY: blocks are numbers, of any bytes.
    let (_, blocks, _) = unsafe { memory.align_to_mut::<Block>() };
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    Current::enter_blocking();
    let computed = argon2.hash_password_into_with_memory(copy, salt, into, blocks);
    work.fill(0);
    Current::leave_blocking();
    computed.map_err(invalid)
}

/// See `soil_password_hash`.
pub fn hash(work: &mut [u8], password: &[u8], salt: &[u8], parameters: [Int; 3]) -> Answer {
    let salt = Salt::new(salt).map_err(invalid)?;
    let [Ok(memory), Ok(passes), Ok(lanes)] = parameters.map(u32::try_from) else {
        return Err(Error::Invalid.into());
    };
    let params = Params::new(memory, passes, lanes, Some(OUTPUT)).map_err(invalid)?;
    let described = ParamsString::try_from(&params).map_err(invalid)?;
    let mut output = [0; OUTPUT];
    compute(work, password, &salt, params, &mut output)?;
    let hash = PasswordHash {
        algorithm: ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: described,
        salt: Some(salt),
        hash: Some(Output::new(&output).map_err(invalid)?),
    };
    let mut text = String::<MAX_LENGTH>::new();
    write!(text, "{hash}").map_err(invalid)?;
    let into = work.get_mut(..text.len()).ok_or(Error::Invalid)?;
    into.copy_from_slice(text.as_bytes());
    Ok(text.len())
}

/// See `soil_password_verify`.
pub fn verify(work: &mut [u8], password: &[u8], hash: &str) -> Answer {
    let (params, salt, expected) = parse(hash).ok_or(Error::Invalid)?;
    let mut output = [0; Output::MAX_LENGTH];
    let output = &mut output[..expected.len()];
    compute(work, password, &salt, params, output)?;
    // In constant time.
    Ok(usize::from(
        Output::new(output).map_err(invalid)? == expected,
    ))
}

#[cfg(test)]
mod tests {
    use super::{hash, parameter, parse, verify};
    use argon2::{Algorithm, Argon2, AssociatedData, Block, ParamsBuilder, Version};
    use platform::error::{Error, Stop};

    const INVALID: Stop = Stop::Error(Error::Invalid);

    /// RFC 9106, 5.3.
    #[test]
    fn the_vector_of_the_rfc() {
        let mut params = ParamsBuilder::new();
        let data = AssociatedData::new(&[4; 12]).unwrap();
        params.m_cost(32).t_cost(3).p_cost(4).data(data);
        let params = params.build().unwrap();
        let argon2 =
            Argon2::new_with_secret(&[3; 8], Algorithm::Argon2id, Version::V0x13, params).unwrap();
        let mut tag = [0; 32];
        let mut blocks = vec![Block::new(); 32];
        argon2
            .hash_password_into_with_memory(&[1; 32], &[2; 16], &mut tag, &mut blocks)
            .unwrap();
        let expected = "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659";
        let hex: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
    }

    #[test]
    fn a_hash_verifies_in_memory_of_any_alignment_and_leaves_none_of_it() {
        // A hash of the reference implementation.
        let known =
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        let mut work = vec![0x55; 256 * 1024 + 64 + 8 + 64];
        let len = 256 * 1024 + 64 + 8;
        for offset in [0, 1, 31, 63] {
            let work = &mut work[offset..offset + len];
            assert_eq!(
                hash(work, b"password", b"somesalt", [256, 2, 1]),
                Ok(known.len())
            );
            assert_eq!(&work[..known.len()], known.as_bytes());
            assert!(work[known.len()..].iter().all(|byte| *byte == 0));
            assert_eq!(verify(work, b"password", known), Ok(1));
            assert!(work.iter().all(|byte| *byte == 0));
            assert_eq!(verify(work, b"Password", known), Ok(0));
        }
        assert_eq!(
            [0, 1, 2].map(|which| parameter(known, which)),
            [Ok(256), Ok(2), Ok(1)]
        );
        assert_eq!(parameter(known, 3), Err(INVALID));
    }

    #[test]
    fn memory_that_is_short_and_parameters_out_of_range_are_invalid() {
        let mut work = vec![0; 64 * 1024 + 64 + 1];
        let mut refused = |len: usize, salt: &[u8], parameters| {
            assert_eq!(hash(&mut work[..len], b"x", salt, parameters), Err(INVALID));
        };
        let salt = [0; 16];
        refused(64 * 1024, &salt, [64, 1, 1]);
        refused(0, &salt, [64, 1, 1]);
        let all = 64 * 1024 + 65;
        refused(all, &salt, [68, 1, 1]);
        refused(all, &salt, [7, 1, 1]);
        refused(all, &salt, [64, 0, 1]);
        refused(all, &salt, [64, 1, 0]);
        refused(all, &salt, [64, 1, 9]);
        refused(all, &salt, [-1, 1, 1]);
        refused(all, &salt, [64, 1 << 32, 1]);
        refused(all, &[0; 7], [64, 1, 1]);
        refused(all, &[0; 49], [64, 1, 1]);
        let hash = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$bQk8UB/VmZZF4Oo7";
        assert!(parse(hash).is_some());
        assert_eq!(verify(&mut work[..64 * 1024], b"x", hash), Err(INVALID));
        assert_eq!(verify(&mut work, b"x", &hash[1..]), Err(INVALID));
    }
}
