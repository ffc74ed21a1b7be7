//! Every keyword of keepalived's manual is known, each in its block.

use super::reading;

/// Blocks, what begins and ends them, and the keywords that the manual has in them.
const MANUAL: &[(&str, &str, &str)] = &[
    (
        "",
        "",
        "net_namespace net_namespace_ipvs namespace_with_ipsets instance use_pid_dir linkbeat_use_polling child_wait_time \
         global_defs linkbeat_interfaces track_group static_ipaddress static_routes static_rules track_file \
         vrrp_track_file vrrp_track_process bfd_instance vrrp_script vrrp_sync_group garp_group vrrp_instance \
         interface_up_down_delays virtual_server_group virtual_server SSL include_check",
    ),
    (
        "global_defs {",
        "}",
        "tmp_config_directory config_save_dir process_names process_name vrrp_process_name checker_process_name \
         bfd_process_name startup_script startup_script_timeout shutdown_script shutdown_script_timeout \
         notification_email notification_email_from smtp_server smtp_helo_name smtp_connect_timeout smtp_alert \
         smtp_alert_vrrp smtp_alert_checker checker_log_all_failures no_email_faults router_id vrrp_mcast_group4 \
         vrrp_mcast_group6 default_interface lvs_sync_daemon lvs_timeouts lvs_flush lvs_flush_on_stop \
         vrrp_garp_master_delay vrrp_garp_master_repeat vrrp_garp_lower_prio_delay vrrp_down_timer_adverts \
         vrrp_garp_lower_prio_repeat vrrp_garp_master_refresh vrrp_garp_master_refresh_repeat vrrp_garp_interval \
         vrrp_gna_interval vrrp_min_garp vrrp_garp_extra_if vrrp_lower_prio_no_advert vrrp_higher_prio_send_advert \
         vrrp_version nftables nftables_priority nftables_counters nftables_ifindex nftables_ipvs nftables_ipvs_priority \
         nftables_ipvs_start_fwmark vrrp_iptables vrrp_ipsets disable_local_igmp vrrp_check_unicast_src \
         vrrp_skip_check_adv_addr vrrp_strict vrrp_notify_priority_changes max_auto_priority min_auto_priority_delay \
         vrrp_priority checker_priority bfd_priority vrrp_no_swap checker_no_swap bfd_no_swap vrrp_cpu_affinity \
         checker_cpu_affinity bfd_cpu_affinity vrrp_rt_priority checker_rt_priority bfd_rt_priority vrrp_rlimit_rttime \
         checker_rlimit_rttime bfd_rlimit_rttime snmp_socket enable_snmp_vrrp enable_snmp_checker enable_snmp_rfc \
         enable_snmp_rfcv2 enable_snmp_rfcv3 enable_traps enable_dbus dbus_service_name script_user \
         enable_script_security notify_fifo notify_fifo_script vrrp_notify_fifo vrrp_notify_fifo_script lvs_notify_fifo \
         lvs_notify_fifo_script fifo_write_vrrp_states_on_reload dynamic_interfaces vrrp_netlink_cmd_rcv_bufs \
         vrrp_netlink_cmd_rcv_bufs_force vrrp_netlink_monitor_rcv_bufs vrrp_netlink_monitor_rcv_bufs_force \
         lvs_netlink_cmd_rcv_bufs lvs_netlink_cmd_rcv_bufs_force lvs_netlink_monitor_rcv_bufs \
         lvs_netlink_monitor_rcv_bufs_force process_monitor_rcv_bufs process_monitor_rcv_bufs_force vrrp_rx_bufs_policy \
         vrrp_rx_bufs_multiplier rs_init_notifies no_checker_emails umask vrrp_startup_delay log_unknown_vrids \
         vmac_prefix vmac_addr_prefix random_seed reload_check_config include_check reload_time_file reload_repeat \
         reload_file data_use_instance",
    ),
    ("track_group G {", "}", "group"),
    ("track_file F {", "}", "file weight init_file"),
    (
        "vrrp_track_process P {",
        "}",
        "process param_match weight quorum quorum_max fork_delay terminate_delay delay full_command",
    ),
    (
        "bfd_instance B {",
        "}",
        "neighbor_ip neighbour_ip source_ip min_rx min_tx idle_tx multiplier passive ttl hoplimit max_hops weight vrrp \
         checker",
    ),
    ("vrrp_script S {", "}", "script interval timeout weight rise fall user init_fail"),
    (
        "vrrp_sync_group G {",
        "}",
        "group track_interface track_script track_file track_process track_bfd notify_master notify_backup notify_fault \
         notify_stop notify_deleted notify notify_priority_changes smtp_alert global_tracking sync_group_tracking_weight",
    ),
    ("garp_group {", "}", "garp_interval gna_interval interface interfaces"),
    (
        "vrrp_instance I {",
        "}",
        "state interface vrf use_vmac use_vmac_addr vmac_xmit_base use_ipvlan native_ipv6 dont_track_primary \
         track_interface track_script track_file track_process track_bfd mcast_src_ip unicast_src_ip mcast_dst_ip \
         track_src_ip version check_unicast_src unicast_peer unicast_fault_no_peer unicast_ttl old_unicast_checksum \
         garp_master_delay garp_master_repeat garp_lower_prio_delay garp_lower_prio_repeat garp_master_refresh \
         garp_master_refresh_repeat garp_extra_if down_timer_adverts lower_prio_no_advert higher_prio_send_advert \
         virtual_router_id priority advert_int authentication auth_hmac virtual_ipaddress virtual_ipaddress_excluded \
         promote_secondaries virtual_routes virtual_rules accept no_accept nopreempt preempt preempt_delay \
         skip_check_adv_addr strict_mode debug notify_master notify_backup notify_fault notify_stop notify_deleted notify \
         notify_master_rx_lower_pri notify_priority_changes smtp_alert kernel_rx_buf_size linkbeat_use_polling",
    ),
    ("vrrp_instance I {\nauthentication {", "}\n}", "auth_type auth_pass"),
    ("vrrp_instance I {\nauth_hmac {", "}\n}", "key active_key anti_replay time_window mode"),
    (
        "virtual_server 192.0.2.1 80 {",
        "}",
        "lvs_sched lb_algo flag-1 flag-2 flag-3 sh-port sh-fallback mh-port mh-fallback ops lvs_method lb_kind \
         persistence_engine persistence_timeout persistence_granularity protocol ha_suspend smtp_alert virtualhost \
         snmp_name alpha omega quorum hysteresis quorum_up quorum_down ip_family sorry_server sorry_server_inhibit \
         sorry_server_lvs_method connect_timeout retry delay_before_retry warmup delay_loop inhibit_on_failure real_server",
    ),
    (
        "virtual_server 192.0.2.1 80 {\nreal_server 192.0.2.2 80 {",
        "}\n}",
        "weight lvs_method notify_up notify_down uthreshold lthreshold smtp_alert virtualhost snmp_name alpha \
         connect_timeout retry delay_before_retry warmup delay_loop inhibit_on_failure HTTP_GET SSL_GET TCP_CHECK \
         SMTP_CHECK DNS_CHECK MISC_CHECK BFD_CHECK UDP_CHECK PING_CHECK FILE_CHECK",
    ),
    ("SSL {", "}", "password ca certificate key"),
];

/// The options of all checkers that connect, and those of each.
const CHECKERS: &[(&str, &str)] = &[
    ("HTTP_GET", "http_protocol fast_recovery url virtualhost nb_get_retry"),
    ("SSL_GET", "http_protocol fast_recovery url virtualhost enable_sni nb_get_retry"),
    ("TCP_CHECK", ""),
    ("SMTP_CHECK", "helo_name host"),
    ("DNS_CHECK", "type name"),
    ("UDP_CHECK", "payload require_reply min_reply_length max_reply_length"),
    ("PING_CHECK", ""),
];

const CONNECTION: &str = "connect_ip connect_port bindto bind_if bind_port fwmark";

const TIMING: &str = "alpha connect_timeout retry delay_before_retry warmup delay_loop log_all_failures";

#[track_caller]
fn are_known(begin: &str, end: &str, keywords: &str) {
    for keyword in keywords.split_whitespace() {
        let reading = reading(&format!("{begin}\n{keyword}\n{end}\n"));
        let unknown = |message: &str| message.contains("is no keyword of");
        assert!(
            !reading.report.diagnostics().iter().any(|diagnostic| unknown(&diagnostic.message)),
            "{}",
            reading.report.display(&reading.sources)
        );
    }
    // And one that nobody knows is unknown there.
    let reading = reading(&format!("{begin}\nfrobnicate\n{end}\n"));
    assert!(
        reading.report.errors().any(|error| error.message.starts_with("\"frobnicate\" is no keyword of")),
        "{begin}"
    );
}

#[test]
fn every_keyword_of_the_manual_is_known() {
    MANUAL.iter().for_each(|(begin, end, keywords)| are_known(begin, end, keywords));
}

#[test]
fn every_keyword_of_a_checker_is_known() {
    const SERVER: &str = "virtual_server 192.0.2.1 80 {\nreal_server 192.0.2.2 80 {";
    let known = |checker: &str, keywords: &str| are_known(&format!("{SERVER}\n{checker} {{"), "}\n}\n}", keywords);
    CHECKERS.iter().for_each(|(checker, own)| known(checker, &format!("{own} {CONNECTION} {TIMING}")));
    known("MISC_CHECK", &format!("misc_path misc_timeout misc_dynamic user {TIMING}"));
    known("FILE_CHECK", "track_file dynamic weight");
    known("BFD_CHECK", "name");
    let url = "path digest status_code virtualhost regex regex_no_match regex_options regex_stack regex_min_offset \
               regex_max_offset";
    are_known(&format!("{SERVER}\nHTTP_GET {{\nurl {{"), "}\n}\n}\n}", url);
}

#[test]
fn what_is_known_and_not_supported_is_a_warning_with_its_place() {
    let reading = reading("global_defs {\n  vrrp_ipsets a b c\n}\nbfd_instance B {\n  min_rx 5\n  frobnicate\n}\n");
    let lines: Vec<_> = reading.report.diagnostics().iter().map(|one| one.line(&reading.sources)).collect();
    assert_eq!(
        lines,
        [
            "k.conf:2:3: warning: vrrp_ipsets is not supported and has no effect (no firewall is used)",
            "k.conf:4:1: warning: bfd_instance is not supported and has no effect (there is no BFD here: use a short \
             advert_int, or track_process of a BFD daemon)",
            "k.conf:6:3: error: \"frobnicate\" is no keyword of bfd_instance",
        ]
    );
}
