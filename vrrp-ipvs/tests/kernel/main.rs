//! Against a real IPVS: the running kernel's, else one in user-mode-linux (see [`guest`]).

mod apply;
mod attributes;
mod dataplane;
mod families;
mod guest;
mod kernel;
mod net;
mod protocols;
