//! From settings to a running distribution point, and to its good end.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use command_line::chain;
use identity::{Created, SiteIdentity};
use multicast_core::doctor::ProbePolicy;
use multicast_core::engine::{ContentLocation, Doorkeeper, Engine, EngineConfig};
use multicast_core::net::{self, Interface};
use multicast_core::pace::Rate;
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::rustls::ServerConfig;
use tracing::{error, info, warn};

use super::content::{Catalogue, Keeper, KeeperConfig};
use super::gate::Gate;
use super::http::connections::Connections;
use super::http::listener::Listener;
use super::http::{self, Shared};
use super::places::{self, Leases, Pool, Source};
use super::point::{Parts, Point};
use super::resumable::Resumable;
use super::{log, pxe, supervised, tasks, tickets};
use crate::config::{AddressSource, Loaded, MulticastUse, ServeArguments, Settings, Surroundings, WhenFull};
use crate::exit::{Exit, Failure};
use crate::site::{Account, Backend, Recorder, ServerRow, Site};
use crate::terms::{profile_of, seed, symbol_size};

/// For so long the site is told what it does not know yet, and connections are answered, at the end.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);
const SUSPEND_LIMIT: Duration = Duration::from_secs(3);

/// Serves until SIGINT or SIGTERM.
pub(super) async fn serve(loaded: Loaded, arguments: &ServeArguments) -> Result<(), Failure> {
    let settings = Arc::new(loaded.settings);
    log::install(&settings.log);
    loaded.warnings.iter().for_each(|text| warn!("{text}"));
    make_folder(&settings.site.state)?;
    let mut signals = Signals::install()?;
    let server = server_id(&settings.site.state)?;
    let sockets = bind(&settings)?;
    let boot_sockets = pxe::bind(&settings)?;
    let identity = identity(&settings)?;
    let site = open_site(&settings).await?;
    let interface = net::choose(settings.server.interface.as_deref())?;
    let resumable = resumable(&site, &server).await?;
    let catalogue = Catalogue::new();
    let content = content_location(&settings, &interface, &identity);
    let by_http = content.is_some();
    let trust_at_hello = trust_at_hello(&settings, content.as_ref(), &identity);
    let (gate, wishes) = Gate::new(catalogue.clone(), &settings, by_http);
    let gate = Arc::new(gate);
    let engine = start_engine(&settings, &interface, gate.clone(), content)?;
    let place = settings.cache_place();
    let symbol_size = symbol_size(group_like(&settings), interface.mtu);
    let keeper = Keeper::start(settings.clone(), KeeperConfig { symbol_size, cache: place }, catalogue.clone());
    let keeper = keeper.map_err(|error| Failure::of(Exit::Error, &error))?;
    let row = server_row(&settings, &server, &engine);
    site.register_server(&row).await.map_err(|error| site_failure(&error))?;
    let recorder = Recorder::start(site.clone(), row);
    let usual_profile = profile_of(&interface);
    let point = Arc::new(Point::new(Parts {
        settings: settings.clone(),
        server,
        site,
        recorder,
        catalogue,
        keeper,
        gate,
        engine,
        interface,
        usual_profile,
        by_http,
        resumable,
    }));

    let refusals = point.engine.events().clone();
    std::thread::Builder::new()
        .name("refusals".into())
        .spawn(move || tasks::tell_refusals(&refusals))
        .map_err(|error| Failure::of(Exit::Error, &error))?;
    let (stop, stopped) = watch::channel(false);
    let mut running = JoinSet::new();
    running.spawn(tasks::fulfil(point.clone(), wishes.others));
    running.spawn(tickets::follow(point.clone(), wishes.places, stopped.clone()));
    running.spawn(tasks::look(point.clone(), stopped.clone()));
    running.spawn(tasks::follow_content(point.clone(), stopped.clone()));
    running.spawn(tasks::follow_site(point.clone(), stopped.clone()));
    running.spawn(supervised::run(point.clone()));
    let source = source_of_places(&point, &settings).await?;
    let keeping = tokio::spawn(keeper_of_places(&point, &settings).run(source, stopped.clone()));
    let (tls, certificates) = watch::channel(identity.server_config());
    let mut answering = listen(&point, sockets, &identity, certificates, &stopped);
    if settings.pxe.enabled {
        let running = start_pxe(&point, trust_at_hello, &stopped).await?;
        let connections = Connections::new(settings.http.max_connections);
        for socket in boot_sockets {
            let listener = Listener { socket, tls: None, connections: connections.clone() };
            answering.spawn(listener.serve(running.point.router(), stopped.clone()));
        }
    }
    say_ready(&point, &identity);

    until_stopped(&point, &mut signals, |point| {
        reload(point, arguments);
        renew(&point.settings(), &identity, &tls);
    })
    .await;

    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    info!("stopping; sessions go on with the next start");
    suspend(&point).await;
    let _ = stop.send(true);
    if tokio::time::timeout(FLUSH_LIMIT, answering.join_all()).await.is_err() {
        info!("answers that take longer than {} s are broken off", FLUSH_LIMIT.as_secs());
    }
    let _ = tokio::time::timeout(FLUSH_LIMIT, keeping).await;
    if let Some(running) = point.pxe()
        && !running.finish(FLUSH_LIMIT).await
    {
        error!("the site's database could not be told what machines did last");
    }
    if !point.recorder.flush(FLUSH_LIMIT).await {
        error!("the site's database could not be told how the last sessions stand");
    }
    if let Err(error) = point.site.retire_server(&point.server).await {
        warn!("{}", chain(&error));
    }
    running.abort_all();
    point.site.close().await;
    Ok(())
}

/// Signals that mean something here.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn install() -> Result<Self, Failure> {
        let install = |kind| signal(kind).map_err(|error| Failure::of(Exit::Error, &error));
        Ok(Self {
            interrupt: install(SignalKind::interrupt())?,
            terminate: install(SignalKind::terminate())?,
            hangup: install(SignalKind::hangup())?,
        })
    }
}

async fn until_stopped(point: &Arc<Point>, signals: &mut Signals, reload: impl Fn(&Point)) {
    loop {
        tokio::select! {
            _ = signals.interrupt.recv() => break,
            _ = signals.terminate.recv() => break,
            _ = signals.hangup.recv() => {
                let reloading = |now| sd_notify::notify(&[NotifyState::Reloading, now]);
                let _ = NotifyState::monotonic_usec_now().map(reloading);
                reload(point);
                let _ = sd_notify::notify(&[NotifyState::Ready]);
            }
        }
    }
    // Who cannot wait says it again.
    let (mut interrupt, mut terminate) = match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
        _ => return,
    };
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        std::process::exit(Exit::Cancelled.code().into());
    });
}

/// Reads the settings again and takes over what can be.
fn reload(point: &Point, arguments: &ServeArguments) {
    match Loaded::load(arguments, &Surroundings::here()) {
        Ok(new) => {
            new.warnings.iter().for_each(|text| warn!("{text}"));
            let old = point.settings();
            let changes = Settings::changes(&old, &new.settings);
            let settings = old.with_applicable(&new.settings);
            log::apply(&settings.log);
            point.apply(settings);
            if changes.is_empty() {
                info!("the settings are as they were");
            }
            changes.apply.iter().for_each(|change| info!("applied: {change}"));
            changes.restart.iter().for_each(|change| warn!("needs a restart: {change}"));
        }
        Err(error) => error!("the settings stay as they were: {error}"),
    }
}

/// Reads a supplied certificate again: those of public authorities are renewed every few weeks. Clients know the
/// site by its key, so that another key takes a restart.
fn renew(settings: &Settings, known: &SiteIdentity, tls: &watch::Sender<Arc<ServerConfig>>) {
    let (Some(certificate), Some(key)) = (&settings.http.certificate, &settings.http.key) else { return };
    let now = SystemTime::now();
    match SiteIdentity::supplied(certificate, key, now) {
        Ok(new) if new.fingerprint() != known.fingerprint() => {
            warn!("needs a restart: the key of the certificate, whose fingerprint is now {}", new.fingerprint());
        }
        Ok(new) => {
            new.warnings(now).iter().for_each(|warning| warn!("{warning}: {}", warning.help()));
            tls.send_replace(new.server_config());
            info!("the certificate is taken over");
        }
        Err(error) => error!("the certificate stays as it was: {error}: {}", error.help()),
    }
}

/// Has the clients ask again, and the sessions resumed by the next start.
async fn suspend(point: &Arc<Point>) {
    point.gate.close();
    let point = point.clone();
    let suspended = tokio::task::spawn_blocking(move || {
        point.sessions.all().iter().for_each(|running| running.control.suspend());
        let begun = std::time::Instant::now();
        while !point.sessions.all().is_empty() && begun.elapsed() < SUSPEND_LIMIT {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let _ = suspended.await;
}

fn make_folder(folder: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o750).create(folder);
    made.map_err(|error| {
        Failure::new(Exit::Error, format!("cannot make the state folder {folder:?}: {error}"))
            .with_help(Some("choose another one by site.state, or --state FOLDER"))
    })
}

/// This server's number, made by its first start.
fn server_id(state: &Path) -> Result<String, Failure> {
    let path = state.join("server-id");
    match std::fs::read_to_string(&path) {
        Ok(id) if id.trim().len() == 16 && id.trim().bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            return Ok(id.trim().to_owned());
        }
        Ok(_) => {
            return Err(Failure::new(
                Exit::Error,
                format!("{path:?} is damaged: it holds no number of 16 hexadecimal digits"),
            )
            .with_help(Some("remove it: the server then counts as a new one of its site")));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(Failure::new(Exit::Error, format!("cannot read {path:?}: {error}"))),
    }
    let id = format!("{:016x}", seed());
    let temporary = state.join("server-id.new");
    let write = || {
        let mut file = std::fs::File::create(&temporary)?;
        writeln!(file, "{id}")?;
        file.sync_all()?;
        std::fs::rename(&temporary, &path)
    };
    write().map_err(|error: std::io::Error| Failure::new(Exit::Error, format!("cannot write {path:?}: {error}")))?;
    Ok(id)
}

/// The HTTP sockets, before anything else is begun: a port in use is a common mistake.
struct Sockets {
    main: Vec<TcpListener>,
    metrics: Option<TcpListener>,
}

fn bind(settings: &Settings) -> Result<Sockets, Failure> {
    let bind = |key: &str, address: SocketAddr| {
        Listener::bind(address).map_err(|error| {
            Failure::new(Exit::Error, format!("cannot listen on {address} ({key}): {error}"))
                .with_help(Some("another program has this port, or this host does not have this address"))
        })
    };
    Ok(Sockets {
        main: settings.http.listen.iter().map(|address| bind("http.listen", *address)).collect::<Result<_, _>>()?,
        metrics: settings.http.metrics_listen.map(|address| bind("http.metrics_listen", address)).transpose()?,
    })
}

/// By which clients know the site, made by its first start unless it is supplied.
fn identity(settings: &Settings) -> Result<SiteIdentity, Failure> {
    let now = SystemTime::now();
    let failure = |error: identity::IdentityError| Failure::of(Exit::Error, &error).with_help(Some(error.help()));
    let identity = match (&settings.http.certificate, &settings.http.key) {
        (Some(certificate), Some(key)) => SiteIdentity::supplied(certificate, key, now).map_err(failure)?,
        _ => {
            let hosts = [settings.server.name.clone()];
            let (identity, created) =
                SiteIdentity::open_or_create(&settings.site.state, &settings.site.name, &hosts, now)
                    .map_err(failure)?;
            if created == Created::Now {
                info!("a certificate of the site was made: {}", identity.certificate_file().display());
            }
            identity
        }
    };
    identity.warnings(now).iter().for_each(|warning| warn!("{warning}: {}", warning.help()));
    Ok(identity)
}

/// The site's database, as the settings name it.
pub(crate) async fn open_site(settings: &Settings) -> Result<Site, Failure> {
    use crate::config::Database;
    let account = &settings.site.account;
    let backend = match (&settings.site.database, settings.site.sqlite_file()) {
        (Database::Postgres(url), _) => Backend::Postgres {
            url: url.to_string(),
            account: Account {
                user: account.user.clone(),
                password: account.password.as_ref().map(|password| password.expose().to_owned()),
            },
        },
        (Database::Sqlite(_), file) => Backend::Sqlite { file: file.unwrap_or_default() },
    };
    Site::open(backend).await.map_err(|error| site_failure(&error))
}

/// What to say of its error.
pub(crate) fn site_failure(error: &crate::site::SiteError) -> Failure {
    Failure::of(Exit::Error, error).with_help(error.help())
}

/// Sessions of the last start that never ended. They wait until others take them up, under new numbers: a start
/// that fails before that, or another crash, loses none.
async fn resumable(site: &Site, server: &str) -> Result<Resumable, Failure> {
    let mut rows = site.resumable(server).await.map_err(|error| site_failure(&error))?;
    for row in &mut rows {
        "waiting".clone_into(&mut row.state);
        site.put_session(row).await.map_err(|error| site_failure(&error))?;
    }
    // Places of clients of that start count no more: they ask again.
    site.free_tickets_of(server).await.map_err(|error| site_failure(&error))?;
    site.free_places_of(server).await.map_err(|error| site_failure(&error))?;
    Ok(Resumable::new(rows))
}

/// Has machines boot from this server.
async fn start_pxe(
    point: &Arc<Point>,
    trust: Option<String>,
    stopped: &watch::Receiver<bool>,
) -> Result<Arc<pxe::Running>, Failure> {
    let settings = point.settings();
    let running = pxe::Running::start(pxe::Surroundings {
        settings: settings.clone(),
        changes: point.settings_changes(),
        site: point.site.clone(),
        server: point.server.clone(),
        trust,
        stop: stopped.clone(),
    })
    .await?;
    if settings.pxe.client_server.is_none() && settings.http.listen.iter().all(|address| address.ip().is_loopback()) {
        warn!(
            "machines that boot into the client cannot say hello: http.listen has only addresses of this host; \
             add one that they reach, or name another server of the site by pxe.client_server"
        );
    }
    point.set_pxe(running.clone());
    tokio::spawn(http::pxe::tell(point.clone(), running.clone(), stopped.clone()));
    Ok(running)
}

/// The fingerprint by which a booted client knows whom it says hello to, if that is by TLS: here it is where content
/// is. Where another server is asked for images, that one is taken to be as this one.
fn trust_at_hello(settings: &Settings, content: Option<&ContentLocation>, identity: &SiteIdentity) -> Option<String> {
    let elsewhere =
        || settings.http.listen.iter().any(|address| !address.ip().is_loopback() && settings.tls_at(*address));
    let tls = content.map_or_else(elsewhere, |content| content.tls.is_some());
    tls.then(|| identity.fingerprint().to_string())
}

/// Where clients find content: the first listener that they can reach, if there is one. They know this server by
/// the interface of its streams, so that the address of another one does not count.
fn content_location(settings: &Settings, interface: &Interface, identity: &SiteIdentity) -> Option<ContentLocation> {
    let Some(address) = settings.http.listen.iter().find(|address| reaches(interface, address.ip())) else {
        let images = settings.images.iter().any(|image| image.multicast == MulticastUse::Never);
        if images || !settings.multicast.enabled || settings.clients.when_full == WhenFull::Unicast {
            let interface = &interface.name;
            warn!("what is to go out by unicast cannot be fetched: no address of http.listen is one of {interface}");
        }
        return None;
    };
    let tls = settings.tls_at(*address).then(|| *identity.fingerprint().bytes());
    Some(ContentLocation { port: address.port(), tls })
}

/// Whether the clients of `interface` reach what listens at `ip`.
fn reaches(interface: &Interface, ip: IpAddr) -> bool {
    match ip.to_canonical() {
        ip if ip.is_loopback() => interface.loopback,
        ip => ip.is_unspecified() || interface.has(ip),
    }
}

fn start_engine(
    settings: &Settings,
    interface: &Interface,
    gate: Arc<Gate>,
    content: Option<ContentLocation>,
) -> Result<Engine, Failure> {
    let doorkeeper: Option<Arc<dyn Doorkeeper>> = Some(gate);
    let usual = EngineConfig::new(interface.clone(), seed())?;
    let (control_port, total_rate) = (settings.server.control_port, settings.rate.total);
    let profile = settings.rate.profile().unwrap_or_else(|| profile_of(interface));
    let (rate, multicast) = (profile.rate().min(total_rate.unwrap_or(Rate::MAX)), &settings.multicast);
    let probes = (multicast.enabled && multicast.probes).then_some(ProbePolicy {
        rate,
        ttl: multicast.ttl,
        dscp: multicast.dscp,
    });
    let config = EngineConfig { control_port, total_rate, only_lent: true, doorkeeper, content, probes, ..usual };
    Ok(Engine::start(config)?)
}

/// An address of the kind that streams go to: its family decides how large a symbol can be.
fn group_like(settings: &Settings) -> IpAddr {
    match &settings.multicast.address {
        AddressSource::Pool(pool) => pool.clone().allocate().unwrap_or(IpAddr::from([239, 194, 0, 1])),
        AddressSource::Madcap => IpAddr::from([239, 194, 0, 1]),
    }
}

fn server_row(settings: &Settings, server: &str, engine: &Engine) -> ServerRow {
    let scheme = |address: SocketAddr| if settings.tls_at(address) { "https" } else { "http" };
    let http = settings.http.listen.first().map(|address| format!("{}://{address}", scheme(*address)));
    ServerRow {
        id: server.to_owned(),
        name: settings.server.name.clone(),
        control: engine.control_address().to_string(),
        http: http.unwrap_or_default(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn keeper_of_places(point: &Arc<Point>, settings: &Settings) -> places::Keeper {
    let local = point.interface.address_for(group_like(settings)).unwrap_or(IpAddr::from([0, 0, 0, 0]));
    places::Keeper {
        engine: point.engine.clone(),
        site: point.site.clone(),
        recorder: point.recorder.clone(),
        server: point.server.clone(),
        wanted: point.place_wanted.clone(),
        local,
        ports: settings.multicast.ports,
        rng: fastrand::Rng::with_seed(seed()),
        ending: Vec::new(),
    }
}

async fn source_of_places(point: &Arc<Point>, settings: &Settings) -> Result<Source, Failure> {
    let madcap = match &settings.multicast.address {
        AddressSource::Pool(pool) => return Ok(Source::Pool(Pool::new(pool.clone()))),
        AddressSource::Madcap => &settings.multicast.madcap,
    };
    let leases = Leases::start(madcap, &point.interface, &point.site, &point.server).await;
    leases.map(Source::Leases).map_err(|error| Failure::of(Exit::Error, &error))
}

fn listen(
    point: &Arc<Point>,
    sockets: Sockets,
    identity: &SiteIdentity,
    certificates: watch::Receiver<Arc<ServerConfig>>,
    stopped: &watch::Receiver<bool>,
) -> JoinSet<()> {
    let settings = point.settings();
    let fingerprint = identity.fingerprint().to_string();
    let shared = Arc::new(Shared { point: point.clone(), fingerprint, stopped: stopped.clone() });
    let connections = Connections::new(settings.http.max_connections);
    let mut answering = JoinSet::new();
    let mut serve = |socket: TcpListener, router: axum::Router| {
        let address = socket.local_addr().ok();
        let tls = address.is_none_or(|address| settings.tls_at(address)).then(|| certificates.clone());
        let listener = Listener { socket, tls, connections: connections.clone() };
        answering.spawn(listener.serve(router, stopped.clone()));
    };
    let router = http::router(shared.clone());
    sockets.main.into_iter().for_each(|socket| serve(socket, router.clone()));
    sockets.metrics.into_iter().for_each(|socket| serve(socket, http::metrics_router(shared.clone())));
    answering
}

fn say_ready(point: &Point, identity: &SiteIdentity) {
    let settings = point.settings();
    let scheme = |address: SocketAddr| if settings.tls_at(address) { "https" } else { "http" };
    for address in &settings.http.listen {
        info!("HTTP on {}://{address}", scheme(*address));
    }
    info!("fingerprint of the site, for --trust: {}", identity.fingerprint());
    if settings.tokens.is_empty() {
        info!("the API is off: no [[token]] is configured");
    }
    let (control, interface) = (point.engine.control_address(), &point.interface.name);
    let images = settings.content.images.as_ref().map(|folder| folder.display().to_string());
    info!(%control, interface, images, site = point.site.name(), "serving");
    let _ = sd_notify::notify(&[NotifyState::Ready]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_reach_what_listens_on_their_interface_or_on_all() {
        let interface = |loopback, v4: [u8; 4]| Interface {
            name: "if0".to_owned(),
            index: 2,
            v4: vec![v4.into()],
            v6: Vec::new(),
            up: true,
            running: true,
            multicast: true,
            loopback,
            mtu: 1500,
            link_speed: None,
        };
        let (lab, own) = (interface(false, [10, 0, 0, 5]), interface(true, [127, 0, 0, 1]));
        let addresses = ["0.0.0.0", "::", "10.0.0.5", "::ffff:10.0.0.5", "10.9.0.5", "127.0.0.1"];
        let reached = |interface| addresses.map(|address| reaches(interface, address.parse().unwrap()));
        assert_eq!(reached(&lab), [true, true, true, true, false, false]);
        assert_eq!(reached(&own), [true, true, false, false, false, true]);
    }
}
