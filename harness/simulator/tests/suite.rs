//! The histories of the suite are what they have always been: sums (FNV-1a) of their text in the interval
//! format, taken from the generator with which the suite's figures were first measured.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use ordeal_simulator::suite::{Row, rows};
use ordeal_simulator::{simulate, write_interval};

#[rustfmt::skip]
const SUMS: &[(&str, u64)] = &[
    ("R-1k-c10", 0x604a_7b88_4cfd_d02f),
    ("R-10k-c5", 0xb03a_9956_5b20_659c),
    ("R-10k-c10", 0x459d_3d67_5482_5fa0),
    ("R-10k-c10-bad", 0x977c_1ce8_bf02_477c),
    ("R-10k-c50", 0x8c3d_8ae5_c3c6_023b),
    ("R-10k-c50-bad", 0x08fa_2d4d_aefc_109a),
    ("R-100k-c10", 0xf0d5_83c3_1055_a8fc),
    ("R-100k-c10-bad", 0x2a01_000d_4d09_d5bf),
    ("R-100k-c50", 0x8daf_a925_2c14_8c26),
    ("R-100k-c100", 0x260d_6b96_7c6d_1fca),
    ("R-1m-c10", 0xbce6_a993_2017_e1aa),
    ("R-1m-c10-bad", 0xe7ed_7110_10b3_06a5),
    ("R-1m-c50", 0xdb93_87a4_88ca_4346),
    ("R-1m-c100", 0x4a68_bda5_b3fa_7318),
    ("R-1m-c100-bad", 0x44dc_37fe_abf4_b2f8),
    ("L-100k-c10", 0x67e9_d1d9_487a_68a2),
    ("L-10k-c10", 0x9cc4_526f_a868_ef1d),
    ("K-100k-1000-c10", 0xaa0a_ace6_0c54_be53),
    ("K-1m-1000-c10", 0x69f2_cbd7_c839_bb4d),
    ("K-1m-1000-c50", 0x4cbc_dac6_88e0_a191),
    ("K-1m-1000-c100", 0x0a0d_3a7f_0e61_94fe),
    ("K-1m-1000-c50-bad", 0x0ab0_b6cf_5231_628c),
    ("V-10k-c10", 0x0ff8_09a4_96bd_3b93),
    ("V-100k-c10", 0x1151_0216_af18_c3b3),
    ("RI-10k-c10-i1", 0xa36c_0d36_8548_d70a),
    ("RI-10k-c10-i5", 0xac58_d6c7_3c3d_dc62),
    ("RI-100k-c10-i1", 0x6f5f_bea0_34ee_bf6c),
    ("C-1k-c10-i0", 0x11b4_fc9d_08bf_23c8),
    ("C-1k-c10-i1", 0x4f2a_1cc9_5102_7b76),
    ("C-1k-c10-i5", 0x5125_5ffc_3c3d_47bc),
    ("C-10k-c10-i0", 0x1ea6_128d_7242_b2b4),
    ("C-10k-c10-i1", 0x87eb_79a9_fae7_e3a7),
    ("C-10k-c10-i5", 0x7d5e_c44a_3956_ff0e),
    ("C-1k-c10-i0-lost", 0x230b_74b0_888a_2441),
    ("C-1k-c10-i1-lost", 0x4f2a_1cc9_5102_7b76),
    ("C-10k-c10-i0-lost", 0x1ea6_128d_7242_b2b4),
    ("C-10k-c10-i1-lost", 0x87eb_79a9_fae7_e3a7),
    ("CU-10k-c10", 0x55d5_6fa3_07b4_063a),
    ("CU-100k-c10-i1", 0x18b3_bd57_ac24_3c34),
    ("Q-1k-c10", 0x7a7d_0679_997f_b0e8),
    ("Q-10k-c10", 0x723e_b4c4_47e8_2e1d),
    ("Q-100k-c10", 0x1b7b_5f29_52f8_f810),
    ("Q-10k-c10-bad", 0x70d0_02e0_69cd_f9ed),
    ("Q-100k-c10-bad", 0x8bd7_5282_907e_d2f8),
    ("Q-1m-c50", 0xc7fd_04f3_8bf6_4e89),
    ("S-10k-c10", 0xb3a5_fca3_c42a_6723),
    ("S-100k-c10", 0xa32b_c9ef_df52_8e74),
    ("LA-10k-c10", 0x20a2_1483_3abc_2130),
    ("LA-100k-c10", 0x2e48_2313_8ce2_d747),
    ("LA-100k-c50", 0xeadb_51f0_976f_3f3d),
    ("LA-100k-c50-bad", 0x46c4_5d99_f7ae_2e69),
    ("GS-10k-c10", 0x524c_1cf6_040f_3de7),
    ("GS-10k-c10-bad", 0x90be_9de6_6ecd_5fa4),
    ("DS-100k-c10", 0x0d93_8cf4_40d8_0931),
    ("CT-10k-c10", 0xc820_15cd_b474_a458),
    ("CT-100k-c10", 0xb7a4_71cd_5cce_5bef),
    ("CT-10k-c10-i1", 0x8e51_4b06_b08a_b2a0),
    ("M-10k-c10", 0xdff0_b2b6_3bdc_8f4c),
    ("F-10k-c10", 0xd39f_f66d_22c5_a2ec),
    ("F-100k-c10", 0x1b9b_7b2a_7198_4e41),
    ("XC-1k-c10-i0-cert", 0x6e0d_99ec_476e_7e47),
    ("XC-10k-c10-i0-cert", 0x2e78_be8e_7611_8053),
    ("XC-1k-c5-i1-cert", 0x93db_2a9a_f7ea_6f15),
    ("XC-1k-c10-i1-phant", 0xc3c0_5c09_734a_9d03),
    ("XC-10k-c10-i0-phant", 0x2b39_43f9_958a_16ef),
    ("XC-10k-c10-i1-phant", 0x5754_8ac6_a4b5_ccb4),
    ("XC-10k-c10-i5-phant", 0xac79_ab81_6571_05af),
    ("XC-1k-v100-i1-cert", 0x33a6_7664_de93_80ee),
    ("XC-10k-v100-i1-cert", 0xe5fc_0649_bc05_9c00),
    ("XRI-10k-c10-i1-bad", 0x2c51_1579_93f7_23d4),
    ("XB-1k-c10", 0x0226_e15c_b1f4_6112),
    ("XB-1k-c15", 0xe90b_fc2a_ff65_fb6f),
    ("XB-1k-c20", 0xc752_2e1f_03ba_bab2),
    ("XB-1k-c30", 0xbbe8_77d6_db5c_b112),
    ("XB-1k-c20-v5", 0x7fd0_22f4_c8e6_5b0b),
    ("XB-10k-c100", 0xdef1_6e86_1fcd_00cc),
    ("XB-10k-c100-v5", 0x5642_58b8_bf87_4cdd),
    ("TA-10k-c10", 0x281e_3d26_04be_163b),
    ("TA-100k-c10", 0xd57b_c3ee_6752_d9fd),
    ("TA-100k-c50-w256", 0x0c66_4719_0fd0_c800),
    ("TA-100k-c10-bad", 0x074f_a667_6ce2_0089),
    ("TA-1m-c20", 0xd460_a733_9d6e_6626),
    ("TR-10k-c10", 0x99da_6ee7_b6b1_d3c4),
    ("TR-100k-c10", 0x6654_75fb_8f36_3356),
    ("TR-100k-c50-k1000", 0x78f5_22c0_2892_315e),
    ("TR-1m-c50-k1000", 0x5d6b_e4f7_a7b1_5ff2),
];

fn sum(row: &Row) -> u64 {
    let mut text = String::new();
    simulate(&row.parameters).unwrap().fold(0xcbf2_9ce4_8422_2325, |sum, op| {
        text.clear();
        write_interval(&mut text, &op);
        text.bytes().fold(sum, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
    })
}

fn compare(wanted: impl Fn(&Row) -> bool) {
    let wrong: Vec<&str> = rows()
        .iter()
        .filter(|row| wanted(row))
        .filter(|row| SUMS.iter().find(|(id, _)| *id == row.id).unwrap().1 != sum(row))
        .map(|row| row.id)
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn the_rows_are_the_ones_known() {
    let ids: Vec<&str> = rows().iter().map(|row| row.id).collect();
    let known: Vec<&str> = SUMS.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, known);
}

#[test]
fn small_rows_are_byte_for_byte_the_same() {
    compare(|row| row.parameters.operations <= 11_000);
}

#[test]
#[ignore = "long"]
fn all_rows_are_byte_for_byte_the_same() {
    compare(|_| true);
}
