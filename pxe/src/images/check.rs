//! What is missing, found before anyone boots.

use std::time::SystemTime;

use super::{Loaders, Store};
use crate::boot::{Site, Target};
use crate::machine::Platform;

/// What machines there are nobody knows; these are those of today.
const COMMON: [Platform; 2] = [Platform::BiosX86, Platform::UefiX64];

/// Something that a machine would be refused for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The deployment that suffers.
    pub deployment: String,
    /// What is wrong.
    pub text: String,
    /// What to do.
    pub help: String,
    /// Nothing is wrong if it is meant so.
    pub odd: bool,
}

/// Looks through the deployments of a site.
#[must_use]
pub fn check(site: &Site, images: &Store, loaders: &Loaders, now: SystemTime) -> Vec<Missing> {
    let mut all = Vec::new();
    for deployment in &site.deployments {
        let mut say = |odd: bool, text: String, help: String| {
            all.push(Missing { deployment: deployment.name.clone(), text, help, odd });
        };
        if deployment.is_over(now) {
            let help = format!("mcast-server ctl pxe deployments remove {}", deployment.name);
            say(true, "it is over: no machine boots it any more".to_owned(), help);
            continue;
        }
        if let Target::Computer(name) = &deployment.target
            && !site.computers.iter().any(|computer| computer.name == *name)
        {
            let help = format!("mcast-server ctl pxe computers add {name} --mac MAC");
            say(false, format!("it is for computer {name}, which the site does not know"), help);
        }
        let unknown = matches!(deployment.target, Target::Unknown);
        if unknown && !site.policy.unknown {
            let help = "mcast-server ctl pxe policy --unknown on".to_owned();
            say(true, "it is for unknown machines, which the site does not answer".to_owned(), help);
        }
        let name = &deployment.boot_image;
        let Some(image) = images.get(name) else {
            let help = format!("mcast-server ctl pxe images add {name} …");
            say(false, format!("boot image {name} is not on this server"), help);
            continue;
        };
        for platform in image.programs.keys().filter(|platform| loaders.find(**platform).is_none()) {
            let rare = !COMMON.contains(platform);
            say(rare, format!("machines with {platform} cannot begin"), loaders.missing(*platform));
        }
        for platform in COMMON {
            if !image.programs.contains_key(&platform) {
                let help = format!("mcast-server ctl pxe images add {name} --platform {platform} …, if there are such");
                say(true, format!("boot image {name} has nothing for machines with {platform}"), help);
            }
        }
    }
    all
}
