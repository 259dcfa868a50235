//! Asks for a password where nobody else sees it.

use std::io::{BufReader, IsTerminal, Read, stdin};
use std::path::Path;
use std::thread;

use command_line::{INTERRUPTED, Interrupt};
use console::Term;

use super::super::error::CtlError;
use crate::config::{Secret, read_secret_file};
use crate::platform::Typing;

/// Bytes read of the standard input: more than any password.
const INPUT_LIMIT: u64 = 4096;

/// From the file, from the standard input if that is `-`, or twice from the terminal.
pub(super) fn read(file: Option<&Path>) -> Result<Secret, CtlError> {
    match file {
        Some(path) if path == Path::new("-") => of_input(stdin().lock()),
        Some(path) => {
            read_secret_file(path, None).map_err(|source| CtlError::TokenFile { origin: "--file".to_owned(), source })
        }
        None => ask(),
    }
}

/// The first line, which must be the only one.
fn of_input(input: impl Read) -> Result<Secret, CtlError> {
    let mut text = String::new();
    let wrong = |reason| CtlError::Password { reason };
    BufReader::new(input.take(INPUT_LIMIT)).read_to_string(&mut text).map_err(|_| wrong("is no text in UTF-8"))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(wrong("is empty")),
        line if line.contains(char::is_control) => Err(wrong("is more than one line of text")),
        line => Ok(Secret::new(line)),
    }
}

/// On the terminal, which does not show what is typed.
fn ask() -> Result<Secret, CtlError> {
    let term = Term::stderr();
    if !stdin().is_terminal() || !term.is_term() {
        return Err(CtlError::NoTerminal);
    }
    show_typing_again_on_ctrl_c();
    let line = |question: &str| -> Result<Secret, CtlError> {
        term.write_str(question)?;
        Ok(Secret::new(term.read_secure_line()?))
    };
    let first = line("Password to ask for at the machines: ")?;
    if first.expose().is_empty() {
        return Err(CtlError::Password { reason: "is empty" });
    }
    if first != line("The same again: ")? {
        return Err(CtlError::Password { reason: "was not the same both times" });
    }
    Ok(first)
}

/// Ended half-way through a question, the program would leave a terminal that shows nothing of what is typed.
fn show_typing_again_on_ctrl_c() {
    // Whoever cannot have this can still end the program.
    let (Some(typing), Ok(interrupt)) = (Typing::now(), Interrupt::install()) else { return };
    thread::spawn(move || {
        if interrupt.wish().recv().is_ok() {
            typing.restore();
            eprintln!();
            std::process::exit(INTERRUPTED.into());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_a_password_and_nothing_else() {
        assert_eq!(of_input(&b"correct horse\r\n"[..]).unwrap().expose(), "correct horse");
        for wrong in [&b""[..], b"\n", b"a\nb\n", b"\xff"] {
            assert!(matches!(of_input(wrong), Err(CtlError::Password { .. })), "{wrong:?}");
        }
    }
}
