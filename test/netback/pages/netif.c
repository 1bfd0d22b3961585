/*
 * The netif protocol by Xen's own header. "layout" prints sizes, places and values by our names; "hash KEY DATA" (in hex, "-" for nothing)
 * prints the header's Toeplitz hash.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#define mb() __sync_synchronize()
#define rmb() __sync_synchronize()
#define wmb() __sync_synchronize()
#define XEN_NETIF_DEFINE_TOEPLITZ 1
#include <xen/xen.h>
#include <xen/grant_table.h>
#include <xen/io/netif.h>

#define SAY(name, value) printf("%s %ld\n", name, (long)(value))
#define AT(name, type, field) SAY(name, offsetof(type, field))

static void layout(void)
{
    SAY("slot.tx", sizeof(netif_tx_request_t));
    SAY("slot.rx", sizeof(netif_rx_response_t));
    SAY("slot.ctrl", sizeof(struct xen_netif_ctrl_request));
    SAY("slot.txResponse", sizeof(netif_tx_response_t));
    SAY("slot.min", XEN_NETIF_NR_SLOTS_MIN);
    SAY("slot.packet", XEN_NETIF_MAX_TX_SIZE);
    AT("TxRequest.GREF", netif_tx_request_t, gref);
    AT("TxRequest.OFFSET", netif_tx_request_t, offset);
    AT("TxRequest.FLAGS", netif_tx_request_t, flags);
    AT("TxRequest.ID", netif_tx_request_t, id);
    AT("TxRequest.SIZE", netif_tx_request_t, size);
    AT("TxResponse.ID", netif_tx_response_t, id);
    AT("TxResponse.STATUS", netif_tx_response_t, status);
    AT("RxRequest.ID", netif_rx_request_t, id);
    AT("RxRequest.GREF", netif_rx_request_t, gref);
    AT("RxResponse.ID", netif_rx_response_t, id);
    AT("RxResponse.OFFSET", netif_rx_response_t, offset);
    AT("RxResponse.FLAGS", netif_rx_response_t, flags);
    AT("RxResponse.STATUS", netif_rx_response_t, status);
    AT("Extra.TYPE", netif_extra_info_t, type);
    AT("Extra.FLAGS", netif_extra_info_t, flags);
    AT("Extra.GSO_SIZE", netif_extra_info_t, u.gso.size);
    AT("Extra.GSO_TYPE", netif_extra_info_t, u.gso.type);
    AT("Extra.MCAST_ADDRESS", netif_extra_info_t, u.mcast.addr);
    AT("Extra.HASH_TYPE", netif_extra_info_t, u.hash.type);
    AT("Extra.HASH_ALGORITHM", netif_extra_info_t, u.hash.algorithm);
    AT("Extra.HASH_VALUE", netif_extra_info_t, u.hash.value);
    AT("CtrlRequest.ID", struct xen_netif_ctrl_request, id);
    AT("CtrlRequest.TYPE", struct xen_netif_ctrl_request, type);
    AT("CtrlRequest.DATA", struct xen_netif_ctrl_request, data);
    AT("CtrlResponse.ID", struct xen_netif_ctrl_response, id);
    AT("CtrlResponse.TYPE", struct xen_netif_ctrl_response, type);
    AT("CtrlResponse.STATUS", struct xen_netif_ctrl_response, status);
    AT("CtrlResponse.DATA", struct xen_netif_ctrl_response, data);
    SAY("TxFlag.CSUM_BLANK", NETTXF_csum_blank);
    SAY("TxFlag.DATA_VALIDATED", NETTXF_data_validated);
    SAY("TxFlag.MORE_DATA", NETTXF_more_data);
    SAY("TxFlag.EXTRA_INFO", NETTXF_extra_info);
    SAY("RxFlag.DATA_VALIDATED", NETRXF_data_validated);
    SAY("RxFlag.CSUM_BLANK", NETRXF_csum_blank);
    SAY("RxFlag.MORE_DATA", NETRXF_more_data);
    SAY("RxFlag.EXTRA_INFO", NETRXF_extra_info);
    SAY("RxFlag.GSO_PREFIX", NETRXF_gso_prefix);
    SAY("Status.NULL", NETIF_RSP_NULL);
    SAY("Status.OKAY", NETIF_RSP_OKAY);
    SAY("Status.ERROR", NETIF_RSP_ERROR);
    SAY("Status.DROPPED", NETIF_RSP_DROPPED);
    SAY("ExtraType.GSO", XEN_NETIF_EXTRA_TYPE_GSO);
    SAY("ExtraType.MCAST_ADD", XEN_NETIF_EXTRA_TYPE_MCAST_ADD);
    SAY("ExtraType.MCAST_DEL", XEN_NETIF_EXTRA_TYPE_MCAST_DEL);
    SAY("ExtraType.HASH", XEN_NETIF_EXTRA_TYPE_HASH);
    SAY("Gso.NONE", XEN_NETIF_GSO_TYPE_NONE);
    SAY("Gso.TCPV4", XEN_NETIF_GSO_TYPE_TCPV4);
    SAY("Gso.TCPV6", XEN_NETIF_GSO_TYPE_TCPV6);
    SAY("HashType.IPV4", _XEN_NETIF_CTRL_HASH_TYPE_IPV4);
    SAY("HashType.IPV4_TCP", _XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP);
    SAY("HashType.IPV6", _XEN_NETIF_CTRL_HASH_TYPE_IPV6);
    SAY("HashType.IPV6_TCP", _XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP);
    SAY("HashAlgorithm.NONE", XEN_NETIF_CTRL_HASH_ALGORITHM_NONE);
    SAY("HashAlgorithm.TOEPLITZ", XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ);
    SAY("CtrlType.GET_HASH_FLAGS", XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS);
    SAY("CtrlType.SET_HASH_FLAGS", XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS);
    SAY("CtrlType.SET_HASH_KEY", XEN_NETIF_CTRL_TYPE_SET_HASH_KEY);
    SAY("CtrlType.GET_HASH_MAPPING_SIZE", XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE);
    SAY("CtrlType.SET_HASH_MAPPING_SIZE", XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE);
    SAY("CtrlType.SET_HASH_MAPPING", XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING);
    SAY("CtrlType.SET_HASH_ALGORITHM", XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM);
    SAY("CtrlStatus.SUCCESS", XEN_NETIF_CTRL_STATUS_SUCCESS);
    SAY("CtrlStatus.NOT_SUPPORTED", XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED);
    SAY("CtrlStatus.INVALID_PARAMETER", XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER);
    SAY("CtrlStatus.BUFFER_OVERFLOW", XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW);
}

static unsigned int bytes_of(const char *hex, uint8_t *into)
{
    unsigned int count = 0, byte;

    while (count < 64 && sscanf(hex, "%2x", &byte) == 1) {
        into[count++] = byte;
        hex += 2;
    }
    return count;
}

int main(int argc, char **argv)
{
    uint8_t key[64], data[64];

    if (argc == 2 && !strcmp(argv[1], "layout"))
        layout();
    for (int i = 2; i + 1 < argc; i += 2) {
        unsigned int keylen = bytes_of(argv[i], key);
        unsigned int datalen = bytes_of(argv[i + 1], data);

        printf("%u\n", xen_netif_toeplitz_hash(key, keylen, data, datalen));
    }
    return 0;
}
