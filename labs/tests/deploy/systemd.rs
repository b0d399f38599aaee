//! The unit for appliances, judged by systemd's own tool. No systemd has to run for that.

use std::fs;
use std::process::Command;

use lab::daemons::twintor;
use lab::{netns, state};

use crate::file;

/// Exposure in tenths, from 0 (locked up) to 100.
const EXPOSURE: &str = "--threshold=20";

#[test]
fn systemd_accepts_the_unit_and_finds_little_exposed() {
    let dir = state::root().unwrap().join("systemd");
    fs::create_dir_all(&dir).unwrap();
    let unit = dir.join("twintor.service");
    let binary = twintor::binary().unwrap();
    let text = file("deploy/systemd/twintor.service");
    let here = text.replace("/usr/local/bin/twintor", &binary.to_string_lossy());
    assert_ne!(text, here);
    fs::write(&unit, here).unwrap();

    let analyze = |args: &[&str]| {
        let mut command = Command::new("systemd-analyze");
        netns::run(command.args(args).arg(&unit))
    };
    analyze(&["verify", "--man=no", "--recursive-errors=no"]).unwrap();
    analyze(&["security", "--offline=true", EXPOSURE]).unwrap();

    fs::write(&unit, "[Service]\nExecStart=/nowhere\nNoSuchKey=1\n").unwrap();
    analyze(&["verify", "--man=no", "--recursive-errors=no"]).unwrap_err();
    analyze(&["security", "--offline=true", EXPOSURE]).unwrap_err();
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn the_agent_takes_the_arguments_of_the_environment_file() {
    let text = file("deploy/systemd/twintor.env");
    let variables = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once('=').unwrap())
        .collect::<Vec<_>>();
    let args = variables
        .iter()
        .find(|(name, _)| *name == "TWINTOR_ARGS")
        .unwrap()
        .1;

    let output = Command::new(twintor::binary().unwrap())
        .arg("run")
        .args(args.split(' '))
        .args(["--manifests=/nowhere", "--kubeconfig=/nowhere"])
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap();

    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("name two sources of objects"), "{said}");
}
