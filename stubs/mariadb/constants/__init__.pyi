# CAPABILITY, CLIENT, ERR, EXT_FIELD_TYPE, FIELD_FLAG and INFO are left out: nothing of ours reads them.
