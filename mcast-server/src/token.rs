//! `mcast-server token`: a new secret for a `[[token]]` of the distribution point.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use clap::Args;
use nix::unistd::User;

use crate::exit::{Exit, Failure};

/// Whose secret it is shows where it turns up by mistake; scanners look for such beginnings.
const PREFIX: &str = "mcast_";
/// Bytes of randomness: nobody guesses 256 bits.
const RANDOM: usize = 32;

pub(crate) const TOKEN_HELP: &str = "\
Prints a token of 256 random bits, or writes it into a new file that only its
owner can read, and prints the lines by which server.toml names that file. They
say whose the token is, which the log then tells, and its role: operator may do
everything, viewer see everything, metrics read the metrics.

Examples:
  mcast-server token --file /etc/mcast/ops-token --owner mcast
      As root, for a service that runs as the user mcast.
  systemctl reload mcast-server
      With the new lines in /etc/mcast/server.toml: no restart is needed.
  curl -H \"Authorization: Bearer $(cat ops-token)\" \\
       http://127.0.0.1:62999/api/v1/sessions
      How it is used.
  mcast-server token
      Only print one, for token = … in settings that others cannot read.

Exit codes:
  0    it is printed, or written
  1    the file exists or cannot be written, or the user is not known
  2    the command line is wrong";

#[derive(Debug, Args)]
#[command(after_help = TOKEN_HELP)]
pub(crate) struct TokenArguments {
    /// Write it into this file, which must not exist, and print how to name it in the settings
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// Have the file belong to this user, as whom the server runs; needs root
    #[arg(long, value_name = "USER", requires = "file")]
    pub(crate) owner: Option<String>,
}

/// Makes one and gives it out.
pub(crate) fn run(arguments: &TokenArguments) -> Result<Exit, Failure> {
    let token = token()?;
    let text = match &arguments.file {
        None => format!("{token}\n"),
        Some(path) => {
            let owner = arguments.owner.as_deref().map(user).transpose()?;
            write(path, &token, owner.as_ref())?;
            lines_for(path)
        }
    };
    // Nobody can use a token that was not seen.
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::new(Exit::Error, format!("cannot print the token: {error}")))?;
    Ok(Exit::Success)
}

fn token() -> Result<String, Failure> {
    let mut random = [0; RANDOM];
    getrandom::fill(&mut random)
        .map_err(|error| Failure::new(Exit::Error, format!("the system gives no random bytes: {error}")))?;
    Ok(format!("{PREFIX}{}", base32(&random)))
}

/// RFC 4648 §6 in lower case, without padding: whoever reads it out or types it mistakes no 0 for an o.
fn base32(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| (byte >> (7 - at % 8)) & 1);
    let digit = |first: usize| (first..first + 5).fold(0, |value, at| (value << 1) | bit(at));
    (0..bytes.len() * 8).step_by(5).map(|first| char::from(DIGITS[usize::from(digit(first))])).collect()
}

fn user(name: &str) -> Result<User, Failure> {
    let found = User::from_name(name)
        .map_err(|errno| Failure::new(Exit::Error, format!("cannot look for user {name:?}: {}", errno.desc())))?;
    found.ok_or_else(|| Failure::new(Exit::Error, format!("there is no user {name:?}")))
}

/// Writes it into a new file; what cannot be finished does not stay.
fn write(path: &Path, token: &str, owner: Option<&User>) -> Result<(), Failure> {
    let failed = |what: &str, error: &io::Error| Failure::new(Exit::Error, format!("cannot {what} {path:?}: {error}"));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::new(Exit::Error, format!("{path:?} exists and is left as it is"))
            .with_help(Some("remove it first: whoever has the token in it then loses access")),
        _ => failed("create", &error),
    })?;
    let filled = fill(&mut file, token, owner).map_err(|(what, error)| failed(what, &error));
    if filled.is_err() {
        // It is new and of no use.
        let _ = std::fs::remove_file(path);
    }
    filled
}

fn fill(file: &mut File, token: &str, owner: Option<&User>) -> Result<(), (&'static str, io::Error)> {
    writeln!(file, "{token}").and_then(|()| file.sync_all()).map_err(|error| ("write", error))?;
    match owner {
        Some(user) => fchown(&*file, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
            .map_err(|error| ("change the owner of", error)),
        None => Ok(()),
    }
}

/// What to put into the settings.
fn lines_for(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let name = path.file_stem().map(|name| name.to_string_lossy()).unwrap_or_default();
    let name = name.strip_suffix("-token").filter(|name| !name.is_empty()).unwrap_or(&name);
    // A string of TOML: what is special in it is so in JSON, too.
    let quoted = |text: &str| serde_json::to_string(text).unwrap_or_default();
    let (name, path) = (quoted(name), quoted(&path.display().to_string()));
    format!("[[token]]\nname = {name}\nrole = \"operator\" # or viewer, or metrics\ntoken_file = {path}\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn digits_are_those_of_the_standard() {
        let known =
            [("", ""), ("f", "my"), ("fo", "mzxq"), ("foo", "mzxw6"), ("foob", "mzxw6yq"), ("foobar", "mzxw6ytboi")];
        for (text, digits) in known {
            assert_eq!(base32(text.as_bytes()), digits, "{text:?}");
        }
    }

    #[test]
    fn no_two_tokens_are_alike_and_each_fits_into_a_header() {
        let (one, other) = (token().unwrap(), token().unwrap());
        assert_ne!(one, other);
        assert!(
            one.starts_with("mcast_") && one.len() == 6 + 52 && one.bytes().all(|byte| byte.is_ascii_graphic()),
            "{one}"
        );
    }

    #[test]
    fn a_token_file_is_its_owners_alone_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ops-token");
        write(&path, "first", None).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "first\n");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        let refused = write(&path, "second", None).unwrap_err();
        assert!(refused.text().ends_with("exists and is left as it is"), "{}", refused.text());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "first\n");
        let nowhere = write(&folder.path().join("none/x"), "x", None).unwrap_err();
        assert!(nowhere.text().starts_with("cannot create"), "{}", nowhere.text());
    }

    #[test]
    fn the_lines_for_the_settings_are_toml() {
        let lines = lines_for(Path::new("/etc/m\"x/ops-token"));
        let read: toml::Table = lines.parse().unwrap();
        let token = &read["token"][0];
        assert_eq!((token["name"].as_str(), token["token_file"].as_str()), (Some("ops"), Some("/etc/m\"x/ops-token")));
        assert!(lines_for(Path::new("token")).contains("name = \"token\""));
    }
}
