//! Errors as people read them.

use std::error::Error;

/// The error and its causes, which some errors tell themselves, in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.ends_with(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io;
    use std::path::PathBuf;

    use multicast_core::image::ImageError;
    use multicast_core::net::NetError;

    use super::*;

    #[test]
    fn causes_follow_once_each() {
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let told = ImageError::Open { path: PathBuf::from("a.wim"), source: denied() };
        assert_eq!(chain(&told), "cannot open \"a.wim\": permission denied");
        let untold = NetError::Bind { address: "127.0.0.1:9".parse().unwrap(), source: denied() };
        assert_eq!(chain(&untold), "cannot bind UDP address 127.0.0.1:9: permission denied");
    }
}
