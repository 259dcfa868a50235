//! What an operator has changed: policy, computers, deployments, leases.

use std::net::Ipv4Addr;
use std::path::Path;

use pxe::machine::{Mac, Uuid};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::api::{Api, part};
use super::super::error::CtlError;
use super::super::figures::plain;
use super::super::orders::confirm;
use super::super::out::{Paper, print};
use super::arguments::Deploy;
use super::password;
use super::show;
use crate::serve::http::pxe::views::{AgainView, AgainWish, ComputerView, DeploymentWish, MoveWish, PolicyWish};

/// A kind of thing: its word, and where the API has it.
pub(super) type Kind = (&'static str, &'static str);

pub(super) const COMPUTER: Kind = ("computer", "api/v1/pxe/computers");
pub(super) const DEPLOYMENT: Kind = ("deployment", "api/v1/pxe/deployments");
const IMAGE: Kind = ("boot image", "api/v1/pxe/images");

/// Changes what holds for all machines.
pub(super) fn policy(api: &Api, paper: &Paper, respond: Option<bool>, unknown: Option<bool>) -> Result<(), CtlError> {
    change(api, paper, &PolicyWish { respond, unknown, password: None })
}

/// Sets what is asked for at the machine, or asks for nothing any more.
pub(super) fn password(api: &Api, paper: &Paper, file: Option<&Path>, none: bool) -> Result<(), CtlError> {
    let password = if none { None } else { Some(password::read(file)?.expose().to_owned()) };
    change(api, paper, &PolicyWish { password: Some(password), ..PolicyWish::default() })
}

fn change(api: &Api, paper: &Paper, change: &PolicyWish) -> Result<(), CtlError> {
    let answer = api.put("api/v1/pxe/policy", &text(change))?;
    paper.show(&answer, || Ok(show::policy_sheet(&api.parsed(&answer)?, paper)))
}

/// A computer as the API takes it.
pub(super) fn computer(name: &str, macs: &[Mac], uuid: Option<Uuid>, address: Option<Ipv4Addr>) -> ComputerView {
    ComputerView {
        name: name.to_owned(),
        macs: macs.iter().map(ToString::to_string).collect(),
        uuid: uuid.map(|uuid| uuid.to_string()),
        address: address.map(|address| address.to_string()),
    }
}

/// Has the site know a machine.
pub(super) fn add_computer(api: &Api, paper: &Paper, computer: &ComputerView, replace: bool) -> Result<(), CtlError> {
    add(api, paper, COMPUTER, &computer.name, computer, replace)
}

/// Has machines boot something.
pub(super) fn add_deployment(api: &Api, paper: &Paper, deploy: &Deploy) -> Result<(), CtlError> {
    let until_ms = match deploy.until {
        Some(until) => Some(until.ms(&paper.zone).ok_or(CtlError::NoMoment)?),
        None => None,
    };
    let wish = DeploymentWish {
        name: deploy.name.clone(),
        target: deploy.target.word(),
        boot_image: deploy.boot_image.clone(),
        image: deploy.image.clone(),
        available_seconds: deploy.available,
        once: deploy.once,
        until_ms,
    };
    add(api, paper, DEPLOYMENT, &wish.name, &wish, deploy.replace)
}

fn add(
    api: &Api,
    paper: &Paper,
    (word, path): Kind,
    name: &str,
    wish: &impl Serialize,
    replace: bool,
) -> Result<(), CtlError> {
    let answer = match replace {
        true => api.put(&format!("{path}/{}", part(name)), &text(wish))?,
        false => api.post(path, &text(wish))?,
    };
    let done = if replace { "changed" } else { "added" };
    paper.show(&answer, || Ok(vec![format!("{word} {} is {done}", plain(name))]))
}

/// Removes what is named, one after the other; the first that cannot be removed ends it.
pub(super) fn remove(api: &Api, paper: &Paper, (word, path): Kind, names: &[String]) -> Result<(), CtlError> {
    let mut answers = Vec::new();
    for name in names {
        let answer = api.delete(&format!("{path}/{}", part(name)))?;
        let gone: Gone = api.parsed(&answer)?;
        match (paper.json, names.len()) {
            (true, 1) => print(&answer.text())?,
            (true, _) => answers.push(api.parsed::<Value>(&answer)?),
            (false, _) => print(&removed(word, name, &gone.deployments))?,
        }
    }
    if answers.is_empty() { Ok(()) } else { print(&Value::Array(answers).to_string()) }
}

/// What went with a computer.
#[derive(Deserialize)]
struct Gone {
    #[serde(default)]
    deployments: Vec<String>,
}

fn removed(word: &str, name: &str, deployments: &[String]) -> String {
    let name = plain(name);
    match deployments {
        [] => format!("{word} {name} is removed"),
        all => {
            let all: Vec<_> = all.iter().map(|name| plain(name)).collect();
            format!("{word} {name} is removed, and what was deployed to it alone: {}", all.join(", "))
        }
    }
}

/// Removes a boot image, once that is confirmed: it would have to be copied again.
pub(super) fn remove_image(api: &Api, paper: &Paper, name: &str, sure: bool) -> Result<(), CtlError> {
    if !sure {
        confirm(&format!("Remove boot image {} from {}?", plain(name), api.server()), "a boot image")?;
    }
    remove(api, paper, IMAGE, &[name.to_owned()])
}

/// Gives a deployment another place in the order.
pub(super) fn reorder(api: &Api, paper: &Paper, name: &str, before: Option<&str>) -> Result<(), CtlError> {
    let wish = MoveWish { before: before.map(str::to_owned) };
    let answer = api.post(&format!("{}/{}/move", DEPLOYMENT.1, part(name)), &text(&wish))?;
    paper.show(&answer, || {
        let place = before.map_or("behind all others".to_owned(), |other| format!("in front of {}", plain(other)));
        Ok(vec![format!("deployment {} is {place} now", plain(name))])
    })
}

/// Has a deployment boot once more.
pub(super) fn again(api: &Api, paper: &Paper, name: &str, computer: Option<&str>) -> Result<(), CtlError> {
    let wish = AgainWish { computer: computer.map(str::to_owned) };
    let answer = api.post(&format!("{}/{}/again", DEPLOYMENT.1, part(name)), &text(&wish))?;
    paper.show(&answer, || {
        let name = plain(name);
        Ok(vec![match (api.parsed::<AgainView>(&answer)?.machines, computer) {
            (0, None) => format!("deployment {name} was done on no machine"),
            (0, Some(computer)) => format!("deployment {name} was not done on {}", plain(computer)),
            (machines, None) => format!("deployment {name} boots again on {machines} machines"),
            (_, Some(computer)) => format!("deployment {name} boots again on {}", plain(computer)),
        }])
    })
}

/// Forgets a lease.
pub(super) fn remove_lease(api: &Api, paper: &Paper, address: Ipv4Addr) -> Result<(), CtlError> {
    let answer = api.delete(&format!("api/v1/pxe/leases/{address}"))?;
    paper.show(&answer, || Ok(vec![format!("the lease of {address} is forgotten")]))
}

/// What goes into a body. Its types have nothing that JSON cannot hold.
fn text(wish: &impl Serialize) -> String {
    serde_json::to_value(wish).unwrap_or_else(|_| json!({})).to_string()
}
