//! `mcast-server ctl`: the API of a distribution point, from the shell.
//!
//! [`target`] settles where to ask and as whom → [`api`] asks → [`show`] draws what came, [`orders`] has things done,
//! [`watch`] follows the news as they come; [`pxe`] does all of it for bare machines.

mod answers;
mod api;
mod arguments;
mod error;
mod figures;
mod find;
mod orders;
mod out;
mod pxe;
mod show;
mod sse;
mod story;
mod table;
mod target;
mod watch;

use std::process::ExitCode;

pub(crate) use arguments::CtlArguments;

use api::Api;
use arguments::CtlCommand;
use error::{CtlError, CtlExit};
use out::Paper;
use target::{Target, Variables};

/// Carries out one command.
pub(crate) fn run(arguments: &CtlArguments) -> ExitCode {
    match carry_out(arguments) {
        Ok(exit) => exit.into(),
        Err(error) => error.report(arguments.connection.json),
    }
}

fn carry_out(arguments: &CtlArguments) -> Result<CtlExit, CtlError> {
    let connection = &arguments.connection;
    let target = Target::settle(connection, &Variables::here())?;
    let api = Api::new(target, connection.timeout)?;
    let paper = Paper::here(connection.json);
    let done = match &arguments.command {
        CtlCommand::Status => show::status(&api, &paper),
        CtlCommand::Images { site: true, .. } => show::site_images(&api, &paper),
        CtlCommand::Images { name, .. } => show::images(&api, &paper, name.as_deref()),
        CtlCommand::Sessions { ended } => show::sessions(&api, &paper, *ended),
        CtlCommand::Session { session } => show::session(&api, &paper, session),
        CtlCommand::Clients { session } => show::clients(&api, &paper, session.as_deref()),
        CtlCommand::Queue => show::queue(&api, &paper),
        CtlCommand::History { image, limit } => show::history(&api, &paper, image.as_deref(), *limit),
        CtlCommand::Settings => show::settings(&api, &paper),
        CtlCommand::Start { sessions } => return orders::session(&api, &paper, orders::START, sessions),
        CtlCommand::Pause { sessions } => return orders::session(&api, &paper, orders::PAUSE, sessions),
        CtlCommand::Resume { sessions } => return orders::session(&api, &paper, orders::RESUME, sessions),
        CtlCommand::Cancel { sessions } => return orders::session(&api, &paper, orders::CANCEL, sessions),
        CtlCommand::Remove { session, client, yes } => orders::remove(&api, &paper, session, client, *yes),
        CtlCommand::Watch { session } => watch::run(&api, &paper, session.as_deref()),
        CtlCommand::Ready => return show::ready(&api, &paper),
        CtlCommand::Openapi => show::openapi(&api, &paper),
        CtlCommand::Pxe(arguments) => return pxe::run(&api, &paper, arguments),
    };
    done.map(|()| CtlExit::Success)
}
