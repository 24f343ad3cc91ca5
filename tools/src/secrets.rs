//! Values that others must not see: those that stay off command lines, which every user of the host
//! can list (`ps`), and warnings of the others.

use crate::cli::{Run, Vmm};
use crate::messages::say;
use crate::options::Variable;
use crate::program::Form;

/// The file with the values in the commands that `--dry-run` prints.
pub const SHOWN_FILE: &str = "soil-settings.txt";

/// The page of the book.
pub const PAGE: &str = "docs/secrets.md";

/// The variables whose values come from `soil run`'s own environment, which only its user can read.
pub fn names(variables: &[Variable]) -> Vec<&str> {
    let inherited = variables
        .iter()
        .filter(|variable| variable.value.is_none() && std::env::var_os(&variable.name).is_some());
    inherited.map(|variable| variable.name.as_str()).collect()
}

/// Warns of values that look like secrets and are on a command line.
pub fn warn_of_command_lines(run: &Run, form: Form) {
    for variable in run.variables.iter().filter(|variable| is_secret(variable)) {
        let name = &variable.name;
        if variable.value.is_some() {
            say(&format!(
                "warning: --env {name}=…: every user of this host can see the value ('ps'): \
                 give --env {name}, which takes it from the environment ({PAGE})"
            ));
        } else if run.vmm == Vmm::CloudHypervisor && form == Form::Image {
            say(&format!(
                "warning: --env {name}: the value is on Cloud Hypervisor's command line, where \
                 every user of this host can see it ('ps'): put it on a labelled disk ({PAGE})"
            ));
        }
    }
}

/// Words of the names of secrets, and those that they end with when they only lead to one.
const WORDS: [&str; 13] = [
    "APIKEY",
    "AUTH",
    "CREDENTIAL",
    "CREDENTIALS",
    "KEY",
    "PASS",
    "PASSPHRASE",
    "PASSWD",
    "PASSWORD",
    "PRIVATE",
    "SECRET",
    "TOKEN",
    "TOKENS",
];
const LEADS: [&str; 8] = ["DIR", "FILE", "ID", "NAME", "PATH", "PUBLIC", "SIZE", "TTL"];

/// Whether a variable looks like a secret: by a word of its name, or as an address with a password
/// in it.
pub fn is_secret(variable: &Variable) -> bool {
    let words: Vec<String> = variable.name.split('_').map(str::to_uppercase).collect();
    let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    let own = std::env::var(&variable.name).ok();
    let value = variable.value.as_ref().or(own.as_ref());
    let value = value.map_or("", String::as_str);
    (has(&WORDS) && !has(&LEADS) && !value.is_empty()) || has_password(value)
}

/// Whether a text is a URL with a password (RFC 3986, 3.2.1).
fn has_password(text: &str) -> bool {
    let authority = text
        .split_once("://")
        .and_then(|(_, rest)| rest.split(['/', '?', '#']).next());
    let user = authority.and_then(|authority| authority.rsplit_once('@'));
    user.and_then(|(user, _)| user.split_once(':'))
        .is_some_and(|(_, password)| !password.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{is_secret, names};
    use crate::options::Variable;

    fn variable(text: &str) -> Variable {
        text.parse().expect("valid")
    }

    #[test]
    fn names_and_addresses_of_secrets_are_known() {
        for secret in [
            "TOKEN=a",
            "api_token=a",
            "DB_PASSWORD=a",
            "AWS_SECRET_ACCESS_KEY=a",
            "API_KEY=a",
            "DATABASE_URL=postgres://app:pw@db/app",
            "PRIVATE_KEY=a",
        ] {
            assert!(is_secret(&variable(secret)), "{secret}");
        }
        for other in [
            "KEYBOARD=de",
            "TOKEN=",
            "TOKEN_FILE=/run/token",
            "PUBLIC_KEY=a",
            "KEY_ID=1",
            "DATABASE_URL=postgres://app@db/app",
            "URL=http://a:80/b@c:d",
            "PWD=/",
            "LANG=C",
            "MONKEY=1",
        ] {
            assert!(!is_secret(&variable(other)), "{other}");
        }
    }

    #[test]
    fn only_values_of_the_environment_are_hidden() {
        let variables = ["PATH", "A=1", "NEVER_SET_HERE"].map(variable);
        assert_eq!(names(&variables), ["PATH"]);
    }
}
