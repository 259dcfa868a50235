//! Boot images of this server: what there is, and how it comes here and goes.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::multipart::{Field, Multipart, MultipartError, MultipartRejection};
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use command_line::chain;
use pxe::boot::BootImage;
use pxe::images::{DescribeError, Store, StoreError, Upload};
use pxe::machine::Platform;
use tokio::time::timeout;
use tracing::{info, warn};
use utoipa::ToSchema;

use super::super::Shared;
use super::super::api::Done;
use super::super::auth::Bearer;
use super::super::error::{KeptOut, Problem, Refused};
use super::site::done;
use super::views::BootImageView;

type App = State<Arc<Shared>>;

/// Bytes of a boot image: a Windows PE with everything has some GB.
const IMAGE_LIMIT: u64 = 16 << 30;
/// Bytes of a kernel's command line (COMMAND_LINE_SIZE of x86), and of a platform's name.
const TEXT_LIMIT: usize = 2048;
/// Something has to come within this, or it is broken off.
const QUIET_LIMIT: Duration = Duration::from_secs(60);
/// The rest of what is refused already may come within this.
const REFUSED_LIMIT: Duration = Duration::from_secs(10);
const FORM_HELP: &str = "send a form: platform (several times, or not at all), arguments, then file (several times)";

/// A boot image on its way; what a file is it tells itself.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct BootImageForm {
    /// Machines that it is for, several times; without it all that its files run on.
    platform: Vec<String>,
    /// What stands on the kernel's command line.
    arguments: Option<String>,
    /// A file with its name, several times.
    #[schema(value_type = Vec<String>, format = Binary)]
    file: Vec<Vec<u8>>,
}

/// The boot images of this server.
#[utoipa::path(get, path = "/api/v1/pxe/images", tag = "pxe", security(("token" = [])),
    responses((status = 200, body = Vec<BootImageView>), KeptOut, (status = 404, body = Problem)))]
pub(crate) async fn list(State(shared): App) -> Result<Json<Vec<BootImageView>>, Refused> {
    let store = store(&shared)?;
    let look = move || store.list().iter().map(|image| BootImageView::of(image, store.size(image))).collect();
    tokio::task::spawn_blocking(look).await.map(Json).map_err(|error| Refused::unavailable(&error))
}

/// Puts a boot image on this server. What one of that name has for other machines stays.
#[utoipa::path(put, path = "/api/v1/pxe/images/{name}", tag = "pxe", security(("token" = [])),
    params(("name" = String, Path, description = "the boot image's name")),
    request_body(content = BootImageForm, content_type = "multipart/form-data"),
    responses((status = 200, body = BootImageView), (status = 400, body = Problem), KeptOut,
        (status = 404, body = Problem), (status = 408, body = Problem), (status = 413, body = Problem),
        (status = 422, body = Problem), (status = 507, body = Problem)))]
pub(crate) async fn put(
    State(shared): App,
    Extension(bearer): Extension<Bearer>,
    Path(name): Path<String>,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Json<BootImageView>, Refused> {
    let store = store(&shared)?;
    let mut form = form.map_err(|no| Refused::new(no.status(), no.body_text()).with_help(FORM_HELP))?;
    let image = match take(&store, &name, &mut form).await {
        Ok(image) => image,
        Err(refused) => {
            // Who is still sending hears of it only when he is through.
            let _ = timeout(REFUSED_LIMIT, discard(&mut form)).await;
            return Err(refused);
        }
    };
    let size = store.size(&image);
    info!(by = bearer.name, boot_image = name, size, platforms = image.platforms(), "boot image is put on this server");
    Ok(Json(BootImageView::of(&image, size)))
}

/// Removes a boot image from this server; deployments that name it stay.
#[utoipa::path(delete, path = "/api/v1/pxe/images/{name}", tag = "pxe", security(("token" = [])),
    params(("name" = String, Path, description = "the boot image's name")),
    responses((status = 200, body = Done), (status = 400, body = Problem), KeptOut, (status = 404, body = Problem),
        (status = 507, body = Problem)))]
pub(crate) async fn remove(
    State(shared): App,
    Extension(bearer): Extension<Bearer>,
    Path(name): Path<String>,
) -> Result<Json<Done>, Refused> {
    let store = store(&shared)?;
    let wanted = name.clone();
    blocking(move || store.remove(&wanted)).await?;
    info!(by = bearer.name, boot_image = name, "boot image is removed");
    Ok(done())
}

/// Those of this server, if it boots machines.
fn store(shared: &Shared) -> Result<Arc<Store>, Refused> {
    Ok(super::here(shared)?.point.images().clone())
}

/// Takes a form in: what was written goes if it breaks off, as the upload is dropped then.
async fn take(store: &Arc<Store>, name: &str, form: &mut Multipart) -> Result<BootImage, Refused> {
    let (begun, wanted) = (store.clone(), name.to_owned());
    let mut upload = blocking(move || begun.begin(&wanted, IMAGE_LIMIT)).await?;
    let (mut platforms, mut arguments) = (Vec::new(), String::new());
    while let Some(mut field) = soon(form.next_field()).await? {
        match field.name() {
            Some("platform") => {
                let text = short(&mut field).await?;
                let platform = text.parse::<Platform>();
                platforms.push(platform.map_err(|error| unusable(error.to_string()))?);
            }
            Some("arguments") => arguments = short(&mut field).await?,
            Some("file") => upload = file(upload, field).await?,
            other => {
                let text = format!("the form has a field {:?}, which says nothing here", other.unwrap_or_default());
                return Err(unusable(text).with_help(FORM_HELP));
            }
        }
    }
    blocking(move || upload.finish(&platforms, &arguments)).await
}

/// Reads the rest of a form for nothing.
async fn discard(form: &mut Multipart) {
    while let Ok(Some(mut field)) = form.next_field().await {
        while let Ok(Some(_)) = field.chunk().await {}
    }
}

/// Writes one file.
async fn file(mut upload: Upload, mut field: Field<'_>) -> Result<Upload, Refused> {
    let name = field.file_name().unwrap_or_default().to_owned();
    upload = writing(upload, move |upload| upload.file(&name)).await?;
    while let Some(bytes) = soon(field.chunk()).await? {
        upload = writing(upload, move |upload| upload.write(&bytes)).await?;
    }
    Ok(upload)
}

/// A field that is a short text.
async fn short(field: &mut Field<'_>) -> Result<String, Refused> {
    let mut text = Vec::new();
    while let Some(bytes) = soon(field.chunk()).await? {
        text.extend_from_slice(&bytes);
        if text.len() > TEXT_LIMIT {
            let name = field.name().unwrap_or_default();
            return Err(unusable(format!("the field {name:?} has more than {TEXT_LIMIT} bytes")));
        }
    }
    let text = String::from_utf8(text).ok().filter(|text| !text.contains(char::is_control));
    text.ok_or_else(|| unusable(format!("the field {:?} is no line of text", field.name().unwrap_or_default())))
}

/// What comes next of a form, which must not be long in coming.
async fn soon<T>(next: impl Future<Output = Result<T, MultipartError>>) -> Result<T, Refused> {
    match timeout(QUIET_LIMIT, next).await {
        Ok(came) => came.map_err(|error| Refused::new(error.status(), error.body_text()).with_help(FORM_HELP)),
        Err(_) => Err(Refused::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("nothing came for {} s: the upload is given up", QUIET_LIMIT.as_secs()),
        )),
    }
}

/// Has the disk do something, in a thread that may wait for it.
async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Refused> {
    let done = tokio::task::spawn_blocking(act).await.map_err(|error| Refused::unavailable(&error))?;
    done.map_err(|error| refusal(&error))
}

/// The same to an upload, which comes back.
async fn writing(
    mut upload: Upload,
    act: impl FnOnce(&mut Upload) -> Result<(), StoreError> + Send + 'static,
) -> Result<Upload, Refused> {
    blocking(move || act(&mut upload).map(|()| upload)).await
}

/// A refusal in the store's words.
fn refusal(error: &StoreError) -> Refused {
    let text = chain(error);
    match error {
        StoreError::Unknown(_) => Refused::not_found(text),
        StoreError::TooLarge(_) => Refused::new(StatusCode::PAYLOAD_TOO_LARGE, text),
        StoreError::Name { .. } | StoreError::Twice(_) | StoreError::NotABootImage(_) | StoreError::Describe(_) => {
            let help = matches!(error, StoreError::Describe(DescribeError::Empty)).then_some(FORM_HELP);
            match help {
                Some(help) => unusable(text).with_help(help),
                None => unusable(text),
            }
        }
        _ => {
            warn!("{text}");
            let help = "see that the folder pxe.images has room, and belongs to the user that the server runs as";
            Refused::new(StatusCode::INSUFFICIENT_STORAGE, text).with_help(help)
        }
    }
}

fn unusable(text: impl Into<String>) -> Refused {
    Refused::new(StatusCode::UNPROCESSABLE_ENTITY, text)
}
