//! `mcast-client receive`: one image into one output.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{IsTerminal, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use command_line::Interrupt;
use crossbeam_channel::{Receiver, select, tick};
use identity::Trust;
use multicast_core::engine::{
    Client, ClientConfig, ClientError, ClientEvent, ClientSummary, Fetch, FetchConfig, Output,
};
use multicast_core::pace::Profile;
use multicast_core::receiver::ReceiverSnapshot;
use multicast_core::store::{StoreError, TargetOptions};
use multicast_core::types::ClientId;

use crate::booted::Parameters;
use crate::cli::ReceiveArguments;
use crate::exit::{Exit, Failure};
use crate::fallback::{ASK_INTERVAL, Detour, Directions, Fallback, Question, Reason};
use crate::http::HttpSource;
use crate::view::{self, Summary, View, Way};
use crate::{http, platform, server};

/// Bytes of blocks put together in memory: 17 blocks, 0.2 s of a gigabit network, in which repair comes.
const STAGING: usize = 24 << 20;
/// A server that has just said that it has the image elsewhere says within this where.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Receives until the image is stored, and does what is to follow.
pub(crate) fn run(arguments: &ReceiveArguments, interrupt: &Interrupt) -> Result<Exit, Failure> {
    let order = Order::of(arguments, interrupt)?;
    let config = config(arguments, &order)?;
    let mut view = view::choose(arguments.json, arguments.sink());
    let mut receive = Receive { arguments, order: &order, interrupt, view: view.as_mut(), keeps: false };
    let received = receive.image(config);
    let keeps = receive.keeps && !arguments.to_stdout();
    view.end(received.as_ref().ok());
    let help = "what is verified stays: the same command goes on from there";
    let summary = received.map_err(|failure| failure.with_help_if(keeps, help))?;
    match &arguments.exec {
        Some(line) => follow_up(line, &summary, &order.output, arguments),
        None => Ok(Exit::Success),
    }
}

/// What is wanted from whom: said by the user, or by who booted this machine.
struct Order {
    server: String,
    trust: Option<Trust>,
    /// Empty for the server's only one.
    image: String,
    output: PathBuf,
    /// What the server is to call this machine.
    host: String,
}

impl Order {
    fn of(arguments: &ReceiveArguments, interrupt: &Interrupt) -> Result<Self, Failure> {
        let booted = arguments.booted.as_deref().map(Parameters::read).transpose()?;
        let output = booted.as_ref().and_then(|booted| booted.output.clone());
        let output = arguments.output.clone().or(output).ok_or_else(|| {
            let help = "name an --output, or add mcast.output= to the boot image's arguments";
            Failure::new(Exit::Usage, "nothing says where the image is to go").with_help(Some(help))
        })?;
        // Before the server is asked, and hands the machine's deployment out.
        check_output(&output).map_err(|error| Failure::of_store(&error, &output))?;
        if let Some(booted) = booted {
            let image = booted.image(arguments.wait, interrupt)?;
            let image = arguments.image.clone().unwrap_or(image);
            let host = booted.host();
            return Ok(Self { server: booted.server, trust: booted.trust, image, output, host });
        }
        let server = arguments.server.clone().ok_or_else(|| Failure::new(Exit::Usage, "no --server is named"))?;
        let (image, host) = (arguments.image.clone().unwrap_or_default(), platform::host_name());
        Ok(Self { server, trust: arguments.trust, image, output, host })
    }
}

fn config(arguments: &ReceiveArguments, order: &Order) -> Result<ClientConfig, Failure> {
    let server = server::resolve(&order.server)?;
    let interface = server::interface(arguments.interface.as_deref(), server)?;
    let mut target = TargetOptions::new(ClientId(random()));
    target.journal.clone_from(&arguments.journal);
    target.spool_blocks = arguments.spool;
    if let Some(folder) = &arguments.spool_dir {
        target.spool_folder.clone_from(folder);
    }
    Ok(ClientConfig {
        server,
        interface,
        image: order.image.clone(),
        output: order.output.clone(),
        fresh: arguments.fresh,
        host: order.host.clone(),
        target,
        wait_limit: arguments.wait,
        deaf_limit: arguments.deaf_limit,
        staging: STAGING,
        receive_buffer: receive_buffer(),
        seed: random(),
    })
}

/// Finds at once what else would be found when a session begins, perhaps hours later.
fn check_output(output: &Path) -> Result<(), StoreError> {
    if output.as_os_str() == "-" {
        return if stdout().is_terminal() { Err(StoreError::Terminal) } else { Ok(()) };
    }
    let folder = match output.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => return Ok(()),
    };
    let (output, named) = (output.to_owned(), folder.to_owned());
    if !folder.exists() {
        Err(StoreError::FolderMissing { output, folder: named })
    } else if !folder.is_dir() {
        Err(StoreError::NotAFolder { output, folder: named })
    } else {
        Ok(())
    }
}

/// One image on its way.
struct Receive<'a> {
    arguments: &'a ReceiveArguments,
    order: &'a Order,
    interrupt: &'a Interrupt,
    view: &'a mut dyn View,
    /// Something is verified that the next run need not receive again.
    keeps: bool,
}

/// What a multicast client came to.
#[allow(clippy::large_enum_variant, reason = "made once a run")]
enum Ended {
    Received(ClientSummary),
    /// Multicast does not bring the image, but something else may.
    Stranded {
        reason: Reason,
        /// If the server has told them already.
        directions: Option<Directions>,
        output: Option<Output>,
        failure: Failure,
    },
}

impl Receive<'_> {
    /// By multicast if that works, otherwise by HTTP, as far as both are wanted.
    fn image(&mut self, config: ClientConfig) -> Result<Summary, Failure> {
        let started = Instant::now();
        let mut question =
            Question { server: config.server, client: config.target.client, image: config.image.clone() };
        let (host, target) = (config.host.clone(), config.target.clone());
        let (reason, directions, output) = if self.arguments.fallback == Fallback::Only {
            (Reason::Asked, self.directions(&question, self.arguments.wait)?, None)
        } else {
            match self.by_multicast(config, &mut question)? {
                Ended::Received(client) => return Ok(self.summary(&client, started, Way::Multicast)),
                Ended::Stranded { failure, .. } if self.arguments.fallback == Fallback::Never => return Err(failure),
                Ended::Stranded { reason, directions: Some(directions), output, .. } => (reason, directions, output),
                Ended::Stranded { reason: Reason::Told(text), output, .. } => {
                    let directions = self.directions(&question, Some(ANSWER_LIMIT));
                    let directions =
                        directions.map_err(|failure| failure.causing(&format!("the server says: {text}")))?;
                    (Reason::Told(text), directions, output)
                }
                Ended::Stranded { failure, .. } => return Err(failure),
            }
        };
        if directions.image.is_empty() {
            let failure = Failure::new(Exit::Refused, "the server cannot tell which of its images is meant");
            return Err(failure.with_help(Some("name it by --image")));
        }
        let detour = Detour::new(&reason, question.server, &directions.content, self.order.trust)?;
        self.view.detour(&detour);
        let fetch = self.fetch(&detour, &directions.image, &host, target, output)?;
        self.watch(&fetch, |_| {});
        let client = fetch.wait().map_err(|error| self.failure(error))?;
        Ok(self.summary(&client, started, Way::Unicast))
    }

    /// Receives by multicast; `question` names the image afterwards, if the server has named it.
    fn by_multicast(&mut self, config: ClientConfig, question: &mut Question) -> Result<Ended, Failure> {
        let client = Client::start(config).map_err(|error| self.failure(error))?;
        let limit = self.arguments.fallback_after.min(self.arguments.deaf_limit);
        let mut to_ask = self.arguments.fallback == Fallback::Auto;
        let directions = Arc::new(OnceLock::new());
        let mut buffer = 0;
        self.watch(&client, |event| {
            let ClientEvent::Joined { image, receive_buffer, .. } = event else { return };
            buffer = *receive_buffer;
            question.image.clone_from(image);
            // Once is enough, and only who has another way gives up this one so soon.
            if std::mem::take(&mut to_ask) {
                let (directions, shorten) = (directions.clone(), client.deaf_limiter());
                question.clone().ask(move |told| {
                    directions.get_or_init(|| told);
                    shorten(limit);
                });
            }
        });
        let drops = client.snapshot().counters.socket_drops;
        if drops > 0 {
            self.view.warning(&advice_on_drops(drops, buffer));
        }
        let (result, output) = client.wait_with_output();
        let error = match result {
            Ok(client) => return Ok(Ended::Received(client)),
            Err(error) => error,
        };
        let Some(reason) = Reason::of(&error) else { return Err(self.failure(error)) };
        let failure = self.failure(error);
        Ok(Ended::Stranded { reason, directions: directions.get().cloned(), output, failure })
    }

    /// Where the server has its content.
    fn directions(&mut self, question: &Question, limit: Option<Duration>) -> Result<Directions, Failure> {
        let view = &mut self.view;
        let waits = || {
            let (text, retry_in_ms) = ("the server does not answer".to_owned(), ASK_INTERVAL.as_millis() as u64);
            view.event(&ClientEvent::SourceFailed { text, retry_in_ms });
        };
        question.wait(limit, self.interrupt, waits)
    }

    fn fetch(
        &self,
        detour: &Detour,
        image: &str,
        host: &str,
        target: TargetOptions,
        output: Option<Output>,
    ) -> Result<Fetch, Failure> {
        let terms =
            http::Terms { server: detour.address, trust: detour.trust, image, host, reason: detour.short.as_str() };
        let source = HttpSource::new(&terms)?;
        let config = FetchConfig {
            image: image.to_owned(),
            output: self.order.output.clone(),
            fresh: self.arguments.fresh,
            target,
            wait_limit: self.arguments.wait,
            seed: random(),
        };
        Fetch::start(config, Box::new(source), output).map_err(|error| self.failure(error))
    }

    /// Shows it until its end, and ends it if its user wants that.
    fn watch(&mut self, running: &impl Running, mut heed: impl FnMut(&ClientEvent)) {
        let ticks = tick(self.view.interval());
        loop {
            select! {
                recv(running.events()) -> event => match event {
                    Ok(event) => {
                        self.keeps |= matches!(event, ClientEvent::Resumed { kept_blocks, .. } if kept_blocks > 0);
                        heed(&event);
                        self.view.event(&event);
                    }
                    Err(_) => break,
                },
                recv(ticks) -> _ => self.view.progress(&running.snapshot()),
                recv(self.interrupt.wish()) -> _ => running.cancel(),
            }
        }
        let last = running.snapshot();
        self.keeps |= last.verified_bytes > 0;
        self.view.progress(&last);
    }

    fn summary(&self, client: &ClientSummary, started: Instant, way: Way) -> Summary {
        Summary::new(client, self.order.output.clone(), started.elapsed(), way)
    }

    fn failure(&self, error: ClientError) -> Failure {
        Failure::of_client(error, &self.order.output)
    }
}

/// What brings an image.
trait Running {
    fn events(&self) -> &Receiver<ClientEvent>;
    fn snapshot(&self) -> ReceiverSnapshot;
    fn cancel(&self);
}

impl Running for Client {
    fn events(&self) -> &Receiver<ClientEvent> {
        self.events()
    }

    fn snapshot(&self) -> ReceiverSnapshot {
        self.snapshot()
    }

    fn cancel(&self) {
        self.cancel();
    }
}

impl Running for Fetch {
    fn events(&self) -> &Receiver<ClientEvent> {
        self.events()
    }

    fn snapshot(&self) -> ReceiverSnapshot {
        self.snapshot()
    }

    fn cancel(&self) {
        self.cancel();
    }
}

/// The stream's rate is not known yet: as much as the fastest one needs.
fn receive_buffer() -> usize {
    Profile::TenGigabit.receive_buffer()
}

fn advice_on_drops(drops: u32, buffer: usize) -> String {
    let advice = if buffer < receive_buffer() {
        format!("its receive buffer has {buffer} bytes: raise net.core.rmem_max")
    } else {
        "it is too slow for this rate".to_owned()
    };
    format!("this machine dropped {drops} datagrams by itself; {advice}")
}

/// Runs what is to follow a success.
fn follow_up(line: &str, summary: &Summary, output: &Path, arguments: &ReceiveArguments) -> Result<Exit, Failure> {
    let mut command = platform::shell(line);
    command.env("MCAST_OUTPUT", output).env("MCAST_IMAGE", summary.image());
    if arguments.to_stdout() || arguments.json {
        // The standard output belongs to the image, or to our NDJSON.
        command.stdout(Stdio::from(stderr()));
    }
    let status = command.status().map_err(|error| {
        Failure::of(Exit::Hook, &error).causing(&format!("the image is stored, but the command {line:?} cannot be run"))
    })?;
    if status.success() {
        Ok(Exit::Success)
    } else {
        Err(Failure::new(Exit::Hook, format!("the image is stored, but the command {line:?} ended with {status}")))
    }
}

/// From the system's randomness, by which the standard library's hash maps are seeded.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
