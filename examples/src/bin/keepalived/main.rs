//! keepalived.conf, run by the libraries: an operator's way from keepalived.

mod options;
mod pid;

use clap::Parser;

fn main() {
    let options = options::Options::parse();
    println!("{options:?} {:?} {:?} {:?}", options.notices(), options.facility(), options.control());
    let _ = pid::PidFiles::default().write(std::path::Path::new("/tmp/x"));
}
