//! Copies a boot image to the server, as it is read.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use pxe::images::{HEAD, inspect};
use pxe::machine::Platform;
use reqwest::blocking::multipart::{Form, Part};

use super::super::answers::Site;
use super::super::api::{Api, part};
use super::super::error::CtlError;
use super::super::figures::{plain, size};
use super::super::out::Paper;
use crate::config::Role;
use crate::serve::http::pxe::views::BootImageView;

/// What is to be copied.
pub(super) struct Wanted<'a> {
    pub(super) name: &'a str,
    pub(super) files: &'a [PathBuf],
    pub(super) platforms: &'a [Platform],
    pub(super) arguments: &'a str,
}

/// Copies it; what an image of that name has for the same machines is replaced when all has arrived.
pub(super) fn add(api: &Api, paper: &Paper, wanted: &Wanted<'_>) -> Result<(), CtlError> {
    let mut opened = Vec::new();
    for path in wanted.files {
        opened.push(open(path)?);
    }
    may_upload(api)?;
    let mut form = Form::new();
    // What files are is known before the first of them comes.
    for platform in wanted.platforms {
        form = form.text("platform", platform.name());
    }
    form = form.text("arguments", wanted.arguments.to_owned());
    let mut bytes = 0;
    for Opened { name, file, length } in opened {
        bytes += length;
        form = form.part("file", Part::reader_with_length(file, length).file_name(name));
    }
    let answer = api.put_form(&format!("api/v1/pxe/images/{}", part(wanted.name)), form, bytes)?;
    paper.show(&answer, || {
        let image: BootImageView = api.parsed(&answer)?;
        let programs: Vec<_> = image.programs.iter().map(|one| format!("{} ({})", one.platform, one.kind)).collect();
        let (name, size) = (plain(&image.name), size(image.bytes));
        Ok(vec![format!("boot image {name}, {size}, boots {}", programs.join(", "))])
    })
}

/// A file that can be read, and may be one of a boot image.
struct Opened {
    name: String,
    file: File,
    length: u64,
}

/// Opens a file. What boots nothing is found before a byte of it goes over the network; the server looks again.
fn open(path: &Path) -> Result<Opened, CtlError> {
    let failed = |error: std::io::Error| unreadable(path, &error.to_string());
    let name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let name = name.ok_or_else(|| unreadable(path, "its name is no text"))?;
    let mut file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(unreadable(path, "it is no regular file"));
    }
    let mut head = Vec::new();
    file.by_ref().take(HEAD as u64).read_to_end(&mut head).map_err(failed)?;
    file.rewind().map_err(failed)?;
    inspect(&name, &head).map_err(CtlError::NotABootImage)?;
    Ok(Opened { name, file, length: metadata.len() })
}

/// Asks before whether it would be taken: who is refused in the middle of an upload may not hear why.
fn may_upload(api: &Api) -> Result<(), CtlError> {
    let site: Site = api.parsed(&api.get("api/v1/site")?)?;
    if site.role != Role::Operator.word() {
        return Err(CtlError::Refused {
            server: api.server(),
            status: 403,
            error: format!("the token has role {}, this needs {}", site.role, Role::Operator.word()),
            help: None,
        });
    }
    api.get("api/v1/pxe/images").map(drop)
}

fn unreadable(path: &Path, reason: &str) -> CtlError {
    CtlError::File { path: path.display().to_string(), reason: reason.to_owned() }
}
