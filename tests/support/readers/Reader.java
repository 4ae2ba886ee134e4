import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.cert.CertPathValidator;
import java.security.cert.CertPathValidatorException;
import java.security.cert.CertStore;
import java.security.cert.CertificateFactory;
import java.security.cert.CollectionCertStoreParameters;
import java.security.cert.PKIXParameters;
import java.security.cert.TrustAnchor;
import java.security.cert.X509CRL;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Date;
import java.util.List;
import java.util.Set;

/**
 * Reads certificates and CRLs as Java does, and prints what is wrong with any of them: Reader FOLDER [SECONDS].
 *
 * <p>The folder has files in DER: root, issuer, root.crl, crls/N in the order of their numbers, certificates/good/N,
 * certificates/revoked/N and precertificates/N; the moment of the check is in seconds since 1970. Without a moment, each
 * certificate is judged at its beginning, and the CRLs are of several databases.
 */
public class Reader {
    private static final String SCT_LIST = "1.3.6.1.4.1.11129.2.4.2";
    private static final String POISON = "1.3.6.1.4.1.11129.2.4.3";
    private static final CertificateFactory X509;

    static {
        try {
            X509 = CertificateFactory.getInstance("X.509");
        } catch (GeneralSecurityException error) {
            throw new AssertionError(error);
        }
    }

    private final X509Certificate issuer;
    private final PKIXParameters parameters;

    private Reader(Path folder, Date moment) throws Exception {
        issuer = certificate(Files.readAllBytes(folder.resolve("issuer")));
        X509Certificate root = certificate(Files.readAllBytes(folder.resolve("root")));
        List<X509CRL> lists = new ArrayList<>(List.of(crl(Files.readAllBytes(folder.resolve("root.crl")))));
        List<Path> own = numbered(folder.resolve("crls"));
        if (!own.isEmpty()) {
            lists.add(crl(Files.readAllBytes(own.get(own.size() - 1))));
        }
        parameters = new PKIXParameters(Set.of(new TrustAnchor(root, null)));
        parameters.addCertStore(CertStore.getInstance("Collection", new CollectionCertStoreParameters(lists)));
        parameters.setRevocationEnabled(moment != null);
        parameters.setDate(moment);
    }

    public static void main(String[] arguments) throws Exception {
        Path folder = Path.of(arguments[0]);
        Date moment = arguments.length == 1 ? null : Date.from(Instant.ofEpochSecond(Long.parseLong(arguments[1])));
        Reader reader = new Reader(folder, moment);
        each(folder.resolve("crls"), reader::checkCrl);
        each(folder.resolve("certificates/good"), der -> reader.checkCertificate(der, false));
        each(folder.resolve("certificates/revoked"), der -> reader.checkCertificate(der, true));
        each(folder.resolve("precertificates"), reader::checkPrecertificate);
    }

    private void checkCrl(byte[] der) throws Exception {
        X509CRL list = crl(der);
        list.verify(issuer.getPublicKey());
        require(list.getIssuerX500Principal().equals(issuer.getSubjectX500Principal()), "issuer");
        require(!list.hasUnsupportedCriticalExtension(), "critical extension");
    }

    private void checkCertificate(byte[] der, boolean revoked) throws Exception {
        X509Certificate leaf = certificate(der);
        require(leaf.getExtensionValue(SCT_LIST) != null && leaf.getExtensionValue(POISON) == null, "SCT list");
        require(leaf.getSubjectAlternativeNames() != null, "names");
        if (!parameters.isRevocationEnabled()) {
            parameters.setDate(leaf.getNotBefore());
        }
        try {
            CertPathValidator.getInstance("PKIX").validate(X509.generateCertPath(List.of(leaf, issuer)), parameters);
            require(!revoked, "valid, although revoked");
        } catch (CertPathValidatorException error) {
            boolean isRevoked = error.getReason() == CertPathValidatorException.BasicReason.REVOKED;
            if (!revoked || !isRevoked || error.getIndex() != 0) {
                throw error;
            }
        }
    }

    private void checkPrecertificate(byte[] der) throws Exception {
        X509Certificate leaf = certificate(der);
        leaf.verify(issuer.getPublicKey());
        require(leaf.getCriticalExtensionOIDs().contains(POISON), "critical poison");
        require(leaf.getExtensionValue(SCT_LIST) == null, "no SCT list");
    }

    private static X509Certificate certificate(byte[] der) throws GeneralSecurityException {
        return (X509Certificate) X509.generateCertificate(new ByteArrayInputStream(der));
    }

    private static X509CRL crl(byte[] der) throws GeneralSecurityException {
        return (X509CRL) X509.generateCRL(new ByteArrayInputStream(der));
    }

    private static void require(boolean holds, String what) throws GeneralSecurityException {
        if (!holds) {
            throw new GeneralSecurityException("not as it should be: " + what);
        }
    }

    private static void each(Path folder, Check check) throws IOException {
        for (Path file : numbered(folder)) {
            try {
                check.run(Files.readAllBytes(file));
            } catch (Exception error) {
                System.out.println("java: " + file + ": " + error);
            }
        }
    }

    private static List<Path> numbered(Path folder) throws IOException {
        try (var files = Files.list(folder)) {
            return files.sorted(Comparator.comparing(file -> new BigInteger(file.getFileName().toString()))).toList();
        }
    }

    private interface Check {
        void run(byte[] der) throws Exception;
    }
}
