//! Real deployments (`tests/configs`), from their unmodified files but for paths: what each must do, with this project's
//! `keepalived` on all hosts and mixed with a real one.

#[path = "../common/mod.rs"]
mod common;

mod backup_backup;
mod imperfect;
mod master_backup;
mod node;
mod notify_mail;
mod operation;
mod site;
mod unicast_nopreempt;
mod weighted_nopreempt;
