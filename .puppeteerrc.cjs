// The tests bring their own Chromium (@sparticuz/chromium): nothing is downloaded at install.
module.exports = { skipDownload: true };
