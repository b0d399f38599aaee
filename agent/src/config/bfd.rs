//! From the section `bfd:` of a plane to its profile.

use super::error::Problem;
use super::layers::MergedPlane;
use super::model::{BfdAuth, BfdSettings};
use super::password;
use super::resolve::Surroundings;
use super::values::{BfdAuthType, FilePath, PlaneName};
use crate::cli::{restart_bfd_remark, short_bfd_remark};
use fabric::{BfdProfile, BfdStrict};
use net::Ttl;
use net::bfd::{Auth, Key};
use secrecy::ExposeSecret;
use std::num::NonZeroU8;
use std::path::PathBuf;
use std::time::Duration;

/// What BFD is to do on a plane whose sessions have this TTL; `None`: nothing. Adds the key files that were read, and what
/// deserves a line in the log.
///
/// # Errors
/// Settings that contradict each other, or a key that cannot be had.
pub(super) fn profile(
    name: PlaneName,
    plane: &MergedPlane,
    ttl: Ttl,
    around: &Surroundings<'_>,
    files: &mut Vec<PathBuf>,
    warnings: &mut Vec<String>,
) -> Result<Option<BfdProfile>, Problem> {
    let Some(bfd) = &plane.settings.bfd else {
        return Ok(None);
    };
    let strict = strict(plane, bfd)?;
    if !bfd.is_on() {
        return Ok(None);
    }
    let second = Duration::from_secs(1);
    let octet = |number: u32| u8::try_from(number).ok();
    let multiplier = bfd.multiplier.and_then(|times| NonZeroU8::new(octet(times.0)?));
    let three = const { NonZeroU8::new(3).expect("not zero") };
    let mut keys = Keys {
        plane,
        around,
        files,
        warnings,
    };
    let profile = BfdProfile {
        min_tx: bfd.min_tx.map_or(second, |interval| interval.0),
        min_rx: bfd.min_rx.map_or(second, |interval| interval.0),
        multiplier: multiplier.unwrap_or(three),
        passive: bfd.passive.is_some_and(|passive| passive.0),
        min_ttl: bfd.min_ttl.and_then(|ttl| octet(ttl.0)),
        auth: bfd
            .auth
            .as_ref()
            .map(|auth| keys.auth(auth))
            .transpose()?
            .flatten(),
        strict,
    };
    if profile.min_ttl.is_some() && !is_multihop(ttl) {
        return refuse(
            plane,
            "bfd.minTtl",
            "counts over several hops only, and the switch is on the same link, where it is always 255 (RFC 5881 section \
             5); leave it out, or set multihop or ttlSecurity above 1",
        );
    }
    warnings.extend(remarks(name, &profile, around));
    Ok(Some(profile))
}

fn strict(plane: &MergedPlane, bfd: &BfdSettings) -> Result<Option<BfdStrict>, Problem> {
    let strict = bfd.strict.is_some_and(|strict| strict.0);
    if strict && !bfd.is_on() {
        return refuse(
            plane,
            "bfd.strict",
            "waits for BFD, and BFD is off here; set enabled: true, or leave it out",
        );
    }
    if !strict && bfd.strict_hold_time.is_some() && bfd.is_on() {
        return refuse(
            plane,
            "bfd.strictHoldTime",
            "is a setting of strict mode, which is off here; set strict: true, or leave it out",
        );
    }
    let hold_time = bfd
        .strict_hold_time
        .map(|time| Duration::from_secs(time.0.into()));
    Ok(strict.then(|| hold_time.map_or(BfdStrict::DEFAULT, |hold_time| BfdStrict { hold_time })))
}

/// What is legal, but will surprise; what the flags say was remarked on already.
fn remarks(name: PlaneName, profile: &BfdProfile, around: &Surroundings<'_>) -> Vec<String> {
    let shortest = profile.min_tx.min(profile.min_rx);
    let by_flags = around.flags_bfd.map(|flags| flags.min_tx.min(flags.min_rx));
    let short = (by_flags != Some(shortest))
        .then(|| short_bfd_remark(shortest, &format!("bfd.minTx and bfd.minRx of plane {name}")))
        .flatten();
    let restart = (around.flags_bfd.is_none() && around.restarts_gracefully)
        .then(|| restart_bfd_remark(&format!("bfd on plane {name}")));
    short.into_iter().chain(restart).collect()
}

/// Whether BFD is one over several hops.
fn is_multihop(ttl: Ttl) -> bool {
    matches!(ttl, Ttl::Multihop(hops) | Ttl::Security { hops } if hops > 1)
}

/// Reads the keys of a plane.
struct Keys<'a> {
    plane: &'a MergedPlane,
    around: &'a Surroundings<'a>,
    files: &'a mut Vec<PathBuf>,
    warnings: &'a mut Vec<String>,
}

impl Keys<'_> {
    fn auth(&mut self, section: &BfdAuth) -> Result<Option<Auth>, Problem> {
        let BfdAuthType(Some(auth_type)) = section.r#type else {
            return Ok(None);
        };
        let Some(id) = section.key_id else {
            return refuse(
                self.plane,
                "bfd.auth",
                "has no keyId; give the key the ID that the switch knows it by, 0 to 255",
            );
        };
        let Some(file) = &section.key_file else {
            return refuse(
                self.plane,
                "bfd.auth",
                "has no keyFile; name a file with the key, or set type: none",
            );
        };
        let field = "bfd.auth.keyFile";
        let key = self.key(field, id.0, file)?;
        let mut auth = Auth::new(auth_type, key).map_err(|error| self.unfit(field, file, error))?;
        for (index, further) in section.accept.iter().enumerate() {
            let field = format!("bfd.auth.accept[{index}].keyFile");
            let key = self.key(&field, further.key_id.0, &further.key_file)?;
            auth = auth
                .accepting(key)
                .map_err(|error| self.unfit(&field, &further.key_file, error))?;
        }
        Ok(Some(auth))
    }

    fn key(&mut self, field: &str, id: u32, file: &FilePath) -> Result<Key, Problem> {
        if file.0.as_os_str().is_empty() {
            return refuse(
                self.plane,
                field,
                "is empty; name a file with the key, or set type: none",
            );
        }
        let path = self.around.directory.join(&file.0);
        let secret = password::read_secret(&path).map_err(|error| self.unfit(field, file, error))?;
        if secret.readable_by_others {
            self.warnings.push(password::readable_by_others("BFD key", &path));
        }
        self.files.push(path);
        let id = u8::try_from(id).unwrap_or(u8::MAX);
        Ok(Key::new(id, secret.text.expose_secret().as_bytes()))
    }

    fn unfit(&self, field: &str, file: &FilePath, error: impl std::fmt::Display) -> Problem {
        let path = self.around.directory.join(&file.0);
        Problem {
            fields: self.plane.fields(field),
            message: format!("{} {error}", path.display()),
            other_file: Some(path),
        }
    }
}

fn refuse<T>(plane: &MergedPlane, field: &str, message: &str) -> Result<T, Problem> {
    Err(Problem {
        fields: plane.fields(field),
        message: message.to_owned(),
        other_file: None,
    })
}
