//! From texts of the API to what the site keeps, and back. The site judges whether it can be kept.

use axum::http::StatusCode;
use command_line::chain;
use pxe::boot::{BootImage, Program};
use pxe::machine::{Mac, ParseError, Platform};

use super::super::error::Refused;
use super::views::{
    BootImageView, BootLeaseView, BootProgramView, BootView, ComputerView, DeploymentView, DeploymentWish,
};
use crate::site::{BootSeen, ComputerRow, DeploymentRow, DeploymentTarget, PxeError, PxeLeaseSeen};

/// What is wanted cannot be done.
pub(super) fn wrong(text: impl Into<String>) -> Refused {
    Refused::new(StatusCode::UNPROCESSABLE_ENTITY, text)
}

impl From<ParseError> for Refused {
    fn from(error: ParseError) -> Self {
        wrong(error.to_string())
    }
}

impl From<PxeError> for Refused {
    fn from(error: PxeError) -> Self {
        let status = match &error {
            PxeError::Site(error) => return Self::unavailable(error),
            PxeError::Missing { .. } => StatusCode::NOT_FOUND,
            PxeError::Exists { .. }
            | PxeError::MacTaken { .. }
            | PxeError::AddressTaken { .. }
            | PxeError::UuidShared { .. } => StatusCode::CONFLICT,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Self::new(status, chain(&error))
    }
}

/// A card's address.
pub(super) fn card(text: &str) -> Result<Mac, Refused> {
    Ok(text.parse()?)
}

/// The computer that is wanted; a card that is given twice counts once.
pub(super) fn computer(view: &ComputerView) -> Result<ComputerRow, Refused> {
    let mut macs = Vec::new();
    for text in &view.macs {
        let mac = card(text)?;
        if !macs.contains(&mac) {
            macs.push(mac);
        }
    }
    let uuid = view.uuid.as_deref().map(str::parse).transpose()?;
    let address = |text: &String| text.parse().map_err(|_| wrong(format!("{text:?} is no IPv4 address")));
    let address = view.address.as_ref().map(address).transpose()?;
    Ok(ComputerRow { name: view.name.clone(), macs, uuid, address })
}

/// The deployment that is wanted.
pub(super) fn deployment(wish: DeploymentWish) -> Result<DeploymentRow, Refused> {
    Ok(DeploymentRow {
        target: target(&wish.target)?,
        name: wish.name,
        boot_image: wish.boot_image,
        image: wish.image,
        wait_s: wish.available_seconds,
        once: wish.once,
        until_ms: wish.until_ms,
    })
}

fn target(text: &str) -> Result<DeploymentTarget, Refused> {
    Ok(match (text, text.strip_prefix("computer:")) {
        ("known", _) => DeploymentTarget::Known,
        ("unknown", _) => DeploymentTarget::Unknown,
        ("all", _) => DeploymentTarget::All,
        (_, Some(name)) => DeploymentTarget::Computer(name.to_owned()),
        (_, None) => {
            let text = format!("target is {text:?}");
            return Err(wrong(text).with_help("write computer:NAME, known, unknown or all"));
        }
    })
}

impl From<ComputerRow> for ComputerView {
    fn from(row: ComputerRow) -> Self {
        Self {
            name: row.name,
            macs: row.macs.iter().map(ToString::to_string).collect(),
            uuid: row.uuid.map(|uuid| uuid.to_string()),
            address: row.address.map(|address| address.to_string()),
        }
    }
}

impl DeploymentView {
    /// As it stands at `now`, milliseconds since 1970.
    pub(super) fn of(row: DeploymentRow, done: Vec<String>, now: i64) -> Self {
        Self {
            name: row.name,
            target: match row.target {
                DeploymentTarget::Computer(name) => format!("computer:{name}"),
                DeploymentTarget::Known => "known".to_owned(),
                DeploymentTarget::Unknown => "unknown".to_owned(),
                DeploymentTarget::All => "all".to_owned(),
            },
            boot_image: row.boot_image,
            image: row.image,
            available_seconds: row.wait_s,
            once: row.once,
            until_ms: row.until_ms,
            over: row.until_ms.is_some_and(|until| until <= now),
            done,
        }
    }
}

impl BootImageView {
    /// With the size of its files.
    pub(super) fn of(image: &BootImage, bytes: u64) -> Self {
        let program = |(platform, program): (&Platform, &Program)| BootProgramView {
            platform: platform.name().to_owned(),
            kind: program.kind().to_owned(),
            needs_64_bit: program.needs_64_bit(),
            files: program.files().map(|file| file.rsplit('/').next().unwrap_or(file).to_owned()).collect(),
            arguments: match program {
                Program::Kernel { arguments, .. } => arguments.clone(),
                _ => String::new(),
            },
        };
        Self { name: image.name.clone(), programs: image.programs.iter().map(program).collect(), bytes }
    }
}

impl From<PxeLeaseSeen> for BootLeaseView {
    fn from(seen: PxeLeaseSeen) -> Self {
        Self {
            address: seen.row.address.to_string(),
            network: seen.row.network.to_string(),
            mac: seen.row.mac.to_string(),
            computer: seen.computer,
            server: seen.server_name,
            until_ms: seen.row.until_ms,
        }
    }
}

impl From<BootSeen> for BootView {
    fn from(seen: BootSeen) -> Self {
        let row = seen.row;
        Self {
            id: seen.id,
            ms: row.at_ms,
            server: seen.server_name,
            mac: row.mac.to_string(),
            uuid: row.uuid.map(|uuid| uuid.to_string()),
            computer: seen.computer,
            platform: row.platform.map(|platform| platform.name().to_owned()),
            address: row.address.map(|address| address.to_string()),
            stage: row.stage,
            deployment: row.deployment,
            text: row.text,
            refused: row.refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_computer_comes_back_as_it_was_but_for_how_it_is_written() {
        let wanted = ComputerView {
            name: "pc-17".to_owned(),
            macs: vec!["52-54-00-12-34-56".to_owned(), "5254.0012.3456".to_owned()],
            uuid: Some("4C4C4544-0042-3510-8052-b7c04f4e3132".to_owned()),
            address: Some("10.0.0.17".to_owned()),
        };
        let view = ComputerView::from(computer(&wanted).unwrap());
        assert_eq!(view.macs, ["52:54:00:12:34:56"], "the same card counts once");
        assert_eq!(view.uuid.as_deref(), Some("4c4c4544-0042-3510-8052-b7c04f4e3132"));
        assert_eq!((&view.name, &view.address), (&wanted.name, &wanted.address));
        for wrong in [
            ComputerView { macs: vec!["52:54".to_owned()], ..wanted.clone() },
            ComputerView { uuid: Some("4c4c".to_owned()), ..wanted.clone() },
            ComputerView { address: Some("10.0.0".to_owned()), ..wanted },
        ] {
            computer(&wrong).unwrap_err();
        }
    }

    #[test]
    fn a_deployment_comes_back_as_it_was_and_is_over_at_its_moment() {
        for target in ["computer:pc 17", "known", "unknown", "all"] {
            let wish = DeploymentWish {
                name: "install".to_owned(),
                target: target.to_owned(),
                boot_image: "rescue".to_owned(),
                image: Some("win11.wim".to_owned()),
                available_seconds: Some(10),
                once: true,
                until_ms: Some(1_790_000_000_000),
            };
            let view = |now| DeploymentView::of(deployment(wish.clone()).unwrap(), Vec::new(), now);
            let before = view(1_789_999_999_999);
            assert_eq!((before.target.as_str(), before.until_ms), (target, wish.until_ms));
            assert_eq!((before.available_seconds, before.once, before.over), (Some(10), true, false));
            assert_eq!((before.boot_image, before.image), (wish.boot_image.clone(), wish.image.clone()));
            assert!(view(1_790_000_000_000).over);
            deployment(DeploymentWish { target: "everybody".to_owned(), ..wish }).unwrap_err();
        }
    }
}
