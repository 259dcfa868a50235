//! `mcast-server ctl pxe`: which bare machines boot what, from the shell.
//!
//! [`arguments`] says what can be wanted → [`show`] draws what there is, [`orders`] has it changed, [`upload`] copies
//! boot images, [`password`] asks for what is no argument.

mod arguments;
mod orders;
mod password;
mod show;
mod upload;

pub(super) use arguments::PxeArguments;

use super::api::Api;
use super::error::{CtlError, CtlExit};
use super::out::Paper;
use arguments::{Computers, Deployments, Images, Leases, PxeCommand};

/// Carries out one command.
pub(super) fn run(api: &Api, paper: &Paper, arguments: &PxeArguments) -> Result<CtlExit, CtlError> {
    let done = match &arguments.command {
        PxeCommand::Status => show::status(api, paper),
        PxeCommand::Policy { respond: None, unknown: None } => show::policy(api, paper),
        PxeCommand::Policy { respond, unknown } => orders::policy(api, paper, *respond, *unknown),
        PxeCommand::Password { file, none } => orders::password(api, paper, file.as_deref(), *none),
        PxeCommand::Computers(command) => computers(api, paper, command),
        PxeCommand::Deployments(command) => deployments(api, paper, command),
        PxeCommand::Images(command) => images(api, paper, command),
        PxeCommand::Leases(Leases::List) => show::leases(api, paper),
        PxeCommand::Leases(Leases::Remove { address }) => orders::remove_lease(api, paper, *address),
        PxeCommand::Machines => show::machines(api, paper),
        PxeCommand::Log { limit, mac, refused } => show::log(api, paper, *limit, *mac, *refused),
        PxeCommand::Check => return show::check(api, paper),
    };
    done.map(|()| CtlExit::Success)
}

fn computers(api: &Api, paper: &Paper, command: &Computers) -> Result<(), CtlError> {
    match command {
        Computers::List => show::computers(api, paper),
        Computers::Add { name, macs, uuid, address, replace } => {
            let computer = orders::computer(name, macs, *uuid, *address);
            orders::add_computer(api, paper, &computer, *replace)
        }
        Computers::Remove { names } => orders::remove(api, paper, orders::COMPUTER, names),
    }
}

fn deployments(api: &Api, paper: &Paper, command: &Deployments) -> Result<(), CtlError> {
    match command {
        Deployments::List => show::deployments(api, paper),
        Deployments::Add(deploy) => orders::add_deployment(api, paper, deploy),
        Deployments::Remove { names } => orders::remove(api, paper, orders::DEPLOYMENT, names),
        Deployments::Move { name, before, .. } => orders::reorder(api, paper, name, before.as_deref()),
        Deployments::Again { name, computer } => orders::again(api, paper, name, computer.as_deref()),
    }
}

fn images(api: &Api, paper: &Paper, command: &Images) -> Result<(), CtlError> {
    match command {
        Images::List => show::images(api, paper),
        Images::Add { name, files, platforms, arguments } => {
            upload::add(api, paper, &upload::Wanted { name, files, platforms, arguments })
        }
        Images::Remove { name, yes } => orders::remove_image(api, paper, name, *yes),
    }
}
