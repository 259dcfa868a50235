//! A service point by HTTP, as firmware and iPXE ask it.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pxe::boot::password;
use pxe::boot::{BootNote, Deployment, Directory, DirectoryError, Doer, Occasion, Policy, Site, Stage, Target};
use pxe::dhcp::Booting;
use pxe::files::BootName;
use pxe::images::{Loaders, Store};
use pxe::machine::{Mac, Machine, Platform};
use pxe::point::{Point, PointSettings};
use pxe::tftp::{Asker, Source};
use tempfile::TempDir;
use tower::ServiceExt;

const ASK: &str = "/pxe/v1/scripts/machine?mac=52-54-00-00-00-01&uuid=&firmware=pcbios&build=i386&wide=1";
const UNLOCKED: &str = "/pxe/v1/scripts/unlocked?mac=52-54-00-00-00-01&uuid=&firmware=pcbios&build=i386&wide=1&wanted=";

const CARD: Doer = Doer::Machine(Mac([0x52, 0x54, 0, 0, 0, 1]));

#[derive(Default)]
struct Memory {
    site: Mutex<Arc<Site>>,
    notes: Mutex<Vec<BootNote>>,
    done: Mutex<Vec<(String, Doer, bool)>>,
    away: Mutex<bool>,
    strangers: Mutex<Vec<String>>,
}

impl Directory for Memory {
    fn site(&self) -> Arc<Site> {
        self.site.lock().unwrap().clone()
    }

    async fn token(&self, machine: &Machine, deployment: &Deployment) -> Result<String, DirectoryError> {
        if *self.away.lock().unwrap() {
            return Err(DirectoryError("no database".to_owned()));
        }
        Ok(format!("token-{}-{}", machine.mac, deployment.name))
    }

    fn done(&self, deployment: &str, by: &Doer, _: Mac, done: bool) {
        self.done.lock().unwrap().push((deployment.to_owned(), by.clone(), done));
    }

    fn tell_of_stranger(&self, address: IpAddr, refusal: &str) {
        self.strangers.lock().unwrap().push(format!("{address} {refusal}"));
    }

    fn tell(&self, note: BootNote) {
        self.notes.lock().unwrap().push(note);
    }
}

struct Bench {
    folder: TempDir,
    memory: Arc<Memory>,
    point: Arc<Point<Memory>>,
    router: Router,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let images = Store::open(folder.path().join("images")).unwrap();
        std::fs::create_dir(folder.path().join("loaders")).unwrap();
        std::fs::write(folder.path().join("loaders/snponly.efi"), b"a loader").unwrap();
        let mut upload = images.begin("client", 1 << 20).unwrap();
        let mut kernel = vec![0; 2000];
        kernel[0x1fe..0x206].copy_from_slice(b"\x55\xaa\0\0HdrS");
        kernel[0x206..0x208].copy_from_slice(&[0x0f, 2]);
        kernel[0x236] = 1;
        upload.file("vmlinuz").unwrap();
        upload.write(&kernel).unwrap();
        upload.file("initrd").unwrap();
        upload.write(b"070701 and so on").unwrap();
        upload.finish(&[], "quiet").unwrap();
        let memory = Arc::new(Memory::default());
        let settings = PointSettings {
            http_port: 62_997,
            client_server: None,
            control_port: 62_999,
            trust: Some("ABCD-EFGH".to_owned()),
        };
        let loaders = Loaders::new(folder.path().join("loaders"));
        let point = Point::new(memory.clone(), images, loaders, settings);
        let bench = Self { folder, memory, router: point.router(), point };
        bench.change(|site| {
            site.policy = Policy { unknown: true, ..Policy::default() };
            site.deployments = vec![Deployment {
                name: "lab".to_owned(),
                target: Target::All,
                boot_image: "client".to_owned(),
                image: Some("win11.wim".to_owned()),
                occasion: Occasion::Required,
                once: true,
                until: None,
            }];
        });
        bench
    }

    fn change(&self, change: impl FnOnce(&mut Site)) {
        let mut held = self.memory.site.lock().unwrap();
        let mut site = Site::clone(&held);
        change(&mut site);
        *held = Arc::new(site);
    }

    async fn ask(&self, request: axum::http::request::Builder, body: String) -> (StatusCode, HeaderMap, Vec<u8>) {
        let from = ConnectInfo(SocketAddr::from(([10, 0, 0, 9], 4000)));
        let request = request.header("host", "10.0.0.1:62997").extension(from).body(Body::from(body)).unwrap();
        let (head, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        (head.status, head.headers, to_bytes(body, usize::MAX).await.unwrap().to_vec())
    }

    async fn get(&self, path: &str) -> (StatusCode, HeaderMap, Vec<u8>) {
        self.ask(Request::get(path), String::new()).await
    }

    async fn script(&self, path: &str) -> String {
        let (status, _, body) = self.get(path).await;
        assert_eq!(status, StatusCode::OK);
        String::from_utf8(body).unwrap()
    }

    async fn try_password(&self, password: &str) -> String {
        let shown = STANDARD.encode(format!("machine:{password}"));
        let request = Request::get(UNLOCKED).header("authorization", format!("Basic {shown}"));
        String::from_utf8(self.ask(request, String::new()).await.2).unwrap()
    }

    fn last_note(&self) -> BootNote {
        self.memory.notes.lock().unwrap().last().unwrap().clone()
    }
}

#[tokio::test]
async fn a_machine_gets_its_script_its_files_and_is_done_when_it_has_them_all() {
    let bench = Bench::new();
    let start = bench.script("/pxe/v1/scripts/start").await;
    assert!(start.contains("http://10.0.0.1:62997/pxe/v1/scripts/machine?mac=${netX/mac:hexhyp}"), "{start}");
    let script = bench.script(ASK).await;
    let kernel = script.lines().find(|line| line.starts_with("kernel ")).unwrap();
    for part in ["mcast.server=10.0.0.1:62999", "mcast.trust=ABCD-EFGH", "mcast.token=token-52:54:00:00:00:01-lab"] {
        assert!(kernel.contains(part), "{kernel}");
    }
    let note = bench.last_note();
    assert_eq!((note.stage, note.address, note.refused), (Stage::Script, Some(Ipv4Addr::new(10, 0, 0, 9)), false));
    let url = |line: &str| {
        let url = line.split(' ').find(|word| word.starts_with("http://")).unwrap();
        url.replace("http://10.0.0.1:62997", "").replace("${netX/mac:hexhyp}", "52-54-00-00-00-01")
    };
    let (status, headers, body) = bench.get(&url(kernel)).await;
    assert_eq!((status, body.len(), headers["content-length"].to_str().unwrap()), (StatusCode::OK, 2000, "2000"));
    assert!(bench.memory.done.lock().unwrap().is_empty(), "the initramfs is still missing");
    let initrd = url(script.lines().find(|line| line.starts_with("initrd ")).unwrap());
    let (_, headers, body) = bench.ask(Request::head(&initrd), String::new()).await;
    assert_eq!((headers["content-length"].to_str().unwrap(), body.len()), ("16", 0));
    assert!(bench.memory.done.lock().unwrap().is_empty(), "asking for its length is not having it");
    let (status, headers, body) = bench.ask(Request::get(&initrd).header("range", "bytes=7-9"), String::new()).await;
    assert_eq!((status, &body[..]), (StatusCode::PARTIAL_CONTENT, &b"and"[..]));
    assert_eq!(headers["content-range"].to_str().unwrap(), "bytes 7-9/16");
    bench.ask(Request::get(&initrd).header("range", "bytes=7-"), String::new()).await;
    assert!(bench.memory.done.lock().unwrap().is_empty(), "nor is having its end");
    bench.get(&initrd).await;
    assert_eq!(*bench.memory.done.lock().unwrap(), [("lab".to_owned(), CARD, true)]);
    assert_eq!(bench.last_note().stage, Stage::Kernel);
    assert_eq!(bench.point.booting()[0].stage, Stage::Kernel);
}

#[tokio::test]
async fn what_was_given_is_what_is_done_whatever_is_wanted_meanwhile() {
    let bench = Bench::new();
    let last = "/pxe/v1/files/images/client/bios%2Buefi-x64/initrd?mac=52-54-00-00-00-01";
    let done = |bench: &Bench| std::mem::take(&mut *bench.memory.done.lock().unwrap());
    bench.get(last).await;
    assert_eq!(done(&bench), [], "no script told it to");
    bench.script(&ASK.replace("wide=1", "wide=0")).await;
    bench.get(last).await;
    assert_eq!(done(&bench), [], "its script refused it");
    bench.script(ASK).await;
    bench.change(|site| {
        site.policy.respond = false;
        let other = Deployment { name: "other".to_owned(), ..site.deployments[0].clone() };
        site.deployments.insert(0, other);
    });
    bench.get(last).await;
    assert_eq!(done(&bench), [("lab".to_owned(), CARD, true)]);
    bench.script("/pxe/v1/reports/failed?mac=52-54-00-00-00-01&image=client").await;
    assert_eq!(done(&bench), [("lab".to_owned(), CARD, false)], "it boots once more");
    assert!(bench.last_note().refused && bench.last_note().text.contains("could not load or start boot image client"));
    bench.script("/pxe/v1/reports/failed?mac=52-54-00-00-00-01&image=other").await;
    bench.script("/pxe/v1/reports/failed?mac=52-54-00-00-00-02&image=client").await;
    assert_eq!(done(&bench), [], "what was not given cannot fail");
}

#[tokio::test]
async fn what_needs_no_token_boots_while_the_site_is_out_of_reach() {
    let bench = Bench::new();
    *bench.memory.away.lock().unwrap() = true;
    let mut upload = bench.point.images().begin("menu", 1 << 20).unwrap();
    upload.file("menu.ipxe").unwrap();
    upload.write(b"#!ipxe\necho hello\n").unwrap();
    upload.finish(&[], "").unwrap();
    bench.change(|site| site.deployments[0].boot_image = "menu".to_owned());
    let script = bench.script(ASK).await;
    assert!(script.contains("/menu.ipxe?mac="), "{script}");
}

#[tokio::test]
async fn what_is_wrong_stands_on_the_screen_and_in_the_log() {
    let bench = Bench::new();
    let narrow = bench.script(&ASK.replace("wide=1", "wide=0")).await;
    assert!(narrow.contains("boot image client needs a processor with 64 bits"), "{narrow}");
    let note = bench.last_note();
    assert!(note.refused && note.text.contains("64 bits"), "{note:?}");
    let ia32 = bench.script(&ASK.replace("pcbios", "efi")).await;
    assert!(ia32.contains("has nothing for uefi-ia32"), "{ia32}");
    *bench.memory.away.lock().unwrap() = true;
    let away = bench.script(ASK).await;
    assert!(away.contains("the site cannot be asked: no database"), "{away}");
    bench.change(|site| site.done.extend([("lab".to_owned(), CARD)]));
    let done = bench.script(ASK).await;
    assert!(done.contains("was for once, and is done") && done.contains("sanboot"), "{done}");
    assert_eq!((bench.last_note().stage, bench.last_note().refused), (Stage::Disk, false));
}

#[tokio::test]
async fn the_password_is_asked_before_the_token_is_made_and_three_tries_are_all() {
    let bench = Bench::new();
    let hash = password::hash("open sesame", [1; 16]).unwrap();
    bench.change(|site| site.policy.password = Some(hash));
    let asked = bench.script(ASK).await;
    assert!(asked.contains("login ||") && !asked.contains("token"), "{asked}");
    let (status, headers, _) = bench.get(UNLOCKED).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "iPXE shows its password to who asks for it");
    assert!(headers["www-authenticate"].to_str().unwrap().starts_with("Basic realm="));
    assert!(bench.try_password("open sesam").await.contains("The password is wrong: 2 tries are left"));
    assert!(bench.try_password("open sesame").await.contains("mcast.token="));
    for left in ["2 tries are", "1 try is"] {
        assert!(bench.try_password("wrong one").await.contains(left));
    }
    assert!(bench.try_password("wrong one").await.contains("no more tries for 5 min"));
    assert!(bench.try_password("open sesame").await.contains("no more tries"), "the right one comes too late");
    let notes = bench.memory.notes.lock().unwrap();
    assert!(notes.iter().all(|note| !note.text.contains("sesam")), "{notes:?}");
}

#[tokio::test]
async fn what_is_available_is_offered_and_booted_when_it_was_wanted() {
    let bench = Bench::new();
    bench.change(|site| site.deployments[0].occasion = Occasion::Available(Duration::from_secs(7)));
    let offer = bench.script(ASK).await;
    assert!(offer.contains("prompt --timeout 7000") && !offer.contains("mcast.token"), "{offer}");
    assert!(bench.script(&format!("{ASK}&wanted=lab")).await.contains("mcast.token="));
    assert!(bench.script(&format!("{ASK}&wanted=other")).await.contains("prompt --timeout"));
}

#[tokio::test]
async fn firmware_is_told_a_loader_by_tftp_or_by_http_and_ipxe_its_script() {
    let bench = Bench::new();
    let here = Ipv4Addr::new(10, 0, 0, 1);
    let mut machine = Machine::new(Mac([0x52, 0x54, 0, 0, 0, 1]));
    assert!(bench.point.boot_file(&machine, here).unwrap_err().contains("does not say what firmware"));
    machine.platform = Some(Platform::UefiX64);
    assert_eq!(bench.point.boot_file(&machine, here).unwrap(), "loader/uefi-x64.efi");
    machine.http = true;
    let url = bench.point.boot_file(&machine, here).unwrap();
    assert_eq!(url, "http://10.0.0.1:62997/pxe/v1/files/loader/uefi-x64.efi");
    let (status, _, body) = bench.get(&url.replace("http://10.0.0.1:62997", "")).await;
    assert_eq!((status, &body[..]), (StatusCode::OK, &b"a loader"[..]));
    machine.ipxe = true;
    let url = bench.point.boot_file(&machine, here).unwrap();
    assert_eq!(url, "http://10.0.0.1:62997/pxe/v1/scripts/start");
    let bios = Machine { platform: Some(Platform::BiosX86), ..Machine::new(machine.mac) };
    let missing = bench.point.boot_file(&bios, here).unwrap_err();
    assert!(missing.contains("no network boot program for bios"), "{missing}");
    assert_eq!(bench.get("/pxe/v1/files/loader/bios.pxe").await.0, StatusCode::NOT_FOUND);
    let told = bench.memory.strangers.lock().unwrap().join("\n");
    assert!(told.starts_with("10.0.0.9 asked for bios.pxe: there is no network boot program for bios"), "{told}");
    bench.change(|site| site.policy.respond = false);
    assert!(bench.point.boot_file(&machine, here).unwrap_err().contains("switched off"));
}

#[test]
fn a_loader_that_the_operator_links_is_served_by_tftp_too() {
    let bench = Bench::new();
    let loaders = bench.folder.path().join("loaders");
    std::fs::write(bench.folder.path().join("ipxe.kpxe"), b"linked").unwrap();
    std::os::unix::fs::symlink("../ipxe.kpxe", loaders.join("undionly.kpxe")).unwrap();
    let asker = Asker { client: ([10, 0, 0, 9], 2070).into(), server: [10, 0, 0, 1].into() };
    let content = bench.point.open(&BootName::parse(b"loader/bios.pxe").unwrap(), asker).unwrap();
    assert_eq!(content.size(), 6);
}

#[tokio::test]
async fn no_name_leads_out_of_the_boot_images() {
    let bench = Bench::new();
    std::fs::write(bench.folder.path().join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink(bench.folder.path().join("secret"), bench.folder.path().join("images/client/link"))
        .unwrap();
    for path in ["client/../../secret", "client/%2e%2e/%2e%2e/secret", "../secret", "client/link", "client/nothing"] {
        let (status, _, body) = bench.get(&format!("/pxe/v1/files/images/{path}")).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert!(!String::from_utf8_lossy(&body).contains("secret"), "{path}");
    }
}
