//! The control socket: a Unix socket of mode 0600 that speaks HTTP/1, for commands that change something or read what
//! is not for everybody. Bounded as the HTTP server is.

mod routes;

#[cfg(test)]
mod tests;

use crate::config::Planner;
use crate::http;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tokio::net::UnixListener;
use tokio::sync::Semaphore;

/// Where `twintor plan` looks for the socket if it is not told.
pub const DEFAULT_PATH: &str = "/run/twintor/control.sock";

/// Connections at a time; more wait in the kernel.
const CONNECTIONS: usize = 8;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Another process listens there.
    #[error("--control-socket={}: another process answers there; give each speaker a path of its own", path.display())]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// There is something that nobody left behind as a socket.
    #[error("--control-socket={}: there is a file that is no socket; remove it or give another path", path.display())]
    NoSocket {
        /// The path.
        path: PathBuf,
    },
    /// The system does not give one.
    #[error("--control-socket={}: cannot {attempt}: {source}", path.display())]
    System {
        /// The path.
        path: PathBuf,
        /// What was attempted.
        attempt: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

/// What the commands reach. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Control {
    planner: Arc<OnceLock<Planner>>,
}

impl Control {
    /// There is a configuration to compare to. Only the first call counts.
    pub fn set_planner(&self, planner: Planner) {
        // A process has one rack.
        let _ = self.planner.set(planner);
    }
}

/// The socket, which is removed with this.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode: another process may have replaced the file meanwhile.
    identity: Option<(u64, u64)>,
}

impl ControlSocket {
    /// Makes the socket. One that a dead process has left is replaced. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`ControlError`]
    pub fn bind(path: &Path) -> Result<Self, ControlError> {
        let failed = |attempt| {
            move |source| ControlError::System {
                path: path.to_owned(),
                attempt,
                source,
            }
        };
        refuse_living(path)?;
        // It appears under its name with its mode, so that nobody else can connect in between.
        let mut hidden = path.as_os_str().to_owned();
        hidden.push(format!(".{}", std::process::id()));
        let hidden = PathBuf::from(hidden);
        // What is there is of a former process of this number.
        let _ = fs::remove_file(&hidden);
        let listener = UnixListener::bind(&hidden).map_err(failed("make it"))?;
        fs::set_permissions(&hidden, fs::Permissions::from_mode(0o600)).map_err(failed("set its mode"))?;
        fs::rename(&hidden, path).map_err(failed("give it its name"))?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            identity: identity(path),
        })
    }

    /// Serves, for as long as the future is polled.
    pub async fn serve(&self, control: Control) {
        let router = routes::router(control);
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let connection = http::connection(stream, router.clone());
                    tokio::spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the control socket cannot take a connection");
                    tokio::time::sleep(http::RETRY).await;
                }
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        if identity(&self.path) == self.identity {
            // A socket that stays is replaced by the next process.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn refuse_living(path: &Path) -> Result<(), ControlError> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(source) => {
            return Err(ControlError::System {
                path: path.to_owned(),
                attempt: "look at it",
                source,
            });
        }
    };
    if !meta.file_type().is_socket() {
        return Err(ControlError::NoSocket {
            path: path.to_owned(),
        });
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        // One that cannot even be asked is not known to be dead.
        Ok(_) | Err(_) => Err(ControlError::InUse {
            path: path.to_owned(),
        }),
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let meta = fs::symlink_metadata(path).ok()?;
    Some((meta.dev(), meta.ino()))
}
